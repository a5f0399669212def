//! A panic of tract becomes an error that names the node.
//!
//! tract answers many networks that it does not expect with a panic. [`guarded`] ends such a call as an error does:
//! nothing is printed, no panic record is written, the message and the node that [`at`] was told of come back.
//! Memory that a broken call used is dropped with it; whoever calls keeps nothing that it was about to change.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

/// What is known of a guarded call of this thread.
#[derive(Default)]
struct Watch {
    /// The node that tract works on.
    node: String,
    /// What its panic said, and where.
    said: Option<String>,
}

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// Has the panic hook pass over the panics of guarded calls. The hook that was there gets all others.
fn hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !heard(panic) {
                before(panic);
            }
        }));
    });
}

/// True if the panic belongs to a guarded call; what it says is kept.
fn heard(panic: &PanicHookInfo<'_>) -> bool {
    let keep = |watch: &mut Watch| {
        let said = panic.payload_as_str().unwrap_or("no message").replace('\n', " ");
        let place = panic.location().map_or_else(String::new, |at| format!(" ({}:{})", file(at.file()), at.line()));
        watch.said = Some(format!("{said}{place}"));
    };
    // a thread that is ending has no watch, and one that is looked at is not changed
    let kept = WATCH.try_with(|watch| watch.try_borrow_mut().is_ok_and(|mut watch| watch.as_mut().map(keep).is_some()));
    kept.unwrap_or(false)
}

/// The end of a source file's path: no machine's folders.
fn file(path: &str) -> String {
    let mut parts: Vec<&str> = path.rsplit(['/', '\\']).take(2).collect();
    parts.reverse();
    parts.join("/")
}

/// Says which node the guarded call of this thread works on.
pub fn at(node: &str) {
    WATCH.with_borrow_mut(|watch| {
        if let Some(watch) = watch {
            watch.node.clear();
            watch.node.push_str(node);
        }
    });
}

/// Calls `call`; a panic becomes an error.
///
/// # Errors
/// Those of `call`, or the panic, with the node where it is known.
pub fn guarded<T, E: From<String>>(call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    hook();
    let outer = WATCH.replace(Some(Watch::default()));
    let done = catch_unwind(AssertUnwindSafe(call));
    let Watch { node, said } = WATCH.replace(outer).unwrap_or_default();
    done.unwrap_or_else(|_| {
        let said = said.unwrap_or_else(|| "no message".into());
        let node = if node.is_empty() { String::new() } else { format!("node {node:?}: ") };
        Err(E::from(format!(
            "{node}tract cannot compute it and broke off: {said}; correct the network at this node, or export it anew"
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_names_the_node() {
        let call = || -> Result<(), String> {
            at("conv1");
            let list: Vec<u8> = Vec::new();
            let index = list.len() + 3;
            Err(format!("{}", list[index]))
        };
        let said = guarded(call).unwrap_err();
        assert!(said.starts_with("node \"conv1\": ") && said.contains("out of bounds"), "{said}");
        assert!(said.contains("guard.rs:") && !said.contains("src/engine/src"), "{said}");
        assert_eq!(guarded(|| Ok::<_, String>(7)), Ok(7));
        assert_eq!(guarded(|| Err::<(), _>("no".to_owned())), Err("no".to_owned()));
    }

    #[test]
    fn a_call_inside_another_keeps_to_its_own_node() {
        let outer = || -> Result<(), String> {
            at("outer");
            let inner = guarded(|| -> Result<(), String> { panic!("inner") }).unwrap_err();
            assert!(inner.starts_with("tract cannot") && inner.contains("inner"), "{inner}");
            panic!("broken")
        };
        let said = guarded(outer).unwrap_err();
        assert!(said.starts_with("node \"outer\": ") && said.contains("broken"), "{said}");
    }
}
