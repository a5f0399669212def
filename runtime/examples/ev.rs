#![allow(warnings)]
#[path = "../src/cli/out.rs"] mod out;
#[path = "../src/cli/progress.rs"] mod progress;
#[path = "../src/cli/eval.rs"] mod eval;
#[path = "../src/cli/detect.rs"] mod detect;
use clap::Parser;
#[derive(Parser)] enum C { Eval(eval::Args), Detect(detect::Args) }
fn main(){ let mut o=out::Out::default(); let r=match C::parse(){C::Eval(a)=>eval::run(&a,&mut o),C::Detect(a)=>detect::run(&a,&mut o)}; if let Err(e)=r{eprintln!("{e:?}");} }
