//! Steps in their order, over threads that stay.
//!
//! Every step is split by output rows; all threads finish a step before the next begins. The rows
//! do not depend on who computes them, so the result is the same for every number of threads.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::ir::{Checked, Graph};
use super::Kernels;
use super::arena::Arena;
use super::barrier::{Barrier, Passed};
use super::memory::Memory;
use super::step::{Step, Work};

/// Most threads of one program.
pub const THREADS_MAX: usize = 64;

/// Steps, their memory, and the kernels that they were packed for.
struct Shared {
    /// Read during a run, written between runs; the same for all that share weights.
    steps: Arc<RwLock<Vec<Step>>>,
    kernels: &'static Kernels,
    arena: Arena,
    threads: usize,
    barrier: Barrier,
    /// Number of runs that were begun; workers wait for it to grow.
    begun: Mutex<u64>,
    wake: Condvar,
    stop: AtomicBool,
    /// A thread panicked in this run: the steps that are left are not done, the barriers are passed all the
    /// same, so that no thread waits for another one for ever.
    failed: AtomicBool,
    /// What that panic said.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Why there is no program.
#[derive(Debug)]
pub enum NotMade {
    /// A fault of the plan.
    Step {
        /// Index of the node.
        node: usize,
        /// What does not fit.
        what: String,
    },
    /// A thread cannot be started.
    Thread(std::io::Error),
}

/// A plan that can be run, again and again.
pub struct Program {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Barriers passed by this thread.
    passed: Passed,
}

impl Program {
    /// Work that was packed for `kernels`, each with the index of its node, in this arena, on `threads` threads
    /// (at least this one, at most [`THREADS_MAX`]).
    ///
    /// # Errors
    /// The work that does not fit the arena, or that a thread cannot be started.
    pub fn new(
        work: Vec<(usize, Work)>,
        kernels: &'static Kernels,
        arena: Arena,
        threads: usize,
    ) -> Result<Program, NotMade> {
        let step = |(node, work)| Step::new(node, work, arena.size()).map_err(|what| NotMade::Step { node, what });
        let steps = work.into_iter().map(step).collect::<Result<_, _>>()?;
        let threads = threads.clamp(1, THREADS_MAX);
        Program::start(Arc::new(RwLock::new(steps)), kernels, arena, threads).map_err(NotMade::Thread)
    }

    /// Another program of the same steps, packed once for both, with memory and threads of its own.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn sharing_weights(&self) -> std::io::Result<Program> {
        let Shared { steps, kernels, arena, threads, .. } = &*self.shared;
        let memory = Memory::new(arena.size()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        let arena = Arena::new(memory.take(arena.size()));
        Program::start(Arc::clone(steps), kernels, arena, *threads)
    }

    fn start(
        steps: Arc<RwLock<Vec<Step>>>,
        kernels: &'static Kernels,
        arena: Arena,
        threads: usize,
    ) -> std::io::Result<Program> {
        let barrier = Barrier::new(threads as u32);
        let passed = barrier.start();
        let shared = Arc::new(Shared {
            steps,
            kernels,
            arena,
            threads,
            barrier,
            begun: Mutex::new(0),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let mut program = Program { shared, workers: Vec::with_capacity(threads - 1), passed };
        for part in 1..threads {
            let shared = Arc::clone(&program.shared);
            let name = format!("engine-{part}");
            let body = move || work(&shared, part, passed);
            program.workers.push(std::thread::Builder::new().name(name).spawn(body)?);
        }
        Ok(program)
    }

    /// The arena's bytes between runs.
    pub fn bytes(&self) -> &[u8] {
        // Safety: steps run only inside `run`, which borrows the program mutably until all threads are done.
        unsafe { self.shared.arena.bytes() }
    }

    /// The arena's bytes between runs, to write the input.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let length = self.shared.arena.size();
        // Safety: as for `bytes`; `&mut self` keeps other borrows away.
        unsafe { std::slice::from_raw_parts_mut(self.shared.arena.base(), length) }
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.shared.threads
    }

    /// The kernels' name.
    pub fn kernels(&self) -> &'static str {
        self.shared.kernels.name
    }

    /// Nodes that take fewer multiplications than they have products, see [`super::winograd`].
    pub fn winograd_nodes(&self) -> Vec<usize> {
        self.shared.steps().iter().filter(|step| step.is_winograd()).map(|step| step.node).collect()
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> usize {
        self.shared.steps().iter().map(Step::bytes).sum()
    }

    /// Takes the numbers of `graph`, whose structure is that of the graph the steps were made of.
    ///
    /// # Errors
    /// The node and what is wrong with its numbers, or that another plan computes with them; no step has changed
    /// then.
    pub fn set_params(&mut self, graph: &Checked<Graph>) -> Result<(), String> {
        // `sharing_weights` is the only way to more of them, and `&mut self` keeps it away
        if Arc::strong_count(&self.shared.steps) > 1 {
            return Err("its numbers are those of another plan as well".into());
        }
        let mut steps = self.shared.steps.write().unwrap_or_else(PoisonError::into_inner);
        steps.iter().try_for_each(|step| step.check(graph))?;
        steps.iter_mut().for_each(|step| step.set_params(graph, self.shared.kernels));
        Ok(())
    }

    /// Runs all steps. A panic of any thread comes out here, once all threads are done; what lies in the arena is
    /// then of no use, and the next run is as good as any.
    pub fn run(&mut self) {
        self.run_each(|_| {});
    }

    /// Runs all steps and tells the nodes and the time of each. A panic of `told` ends the run, as in
    /// [`Program::run`].
    pub fn run_timed(&mut self, mut told: impl FnMut(Range<usize>, Duration)) {
        let mut last = Instant::now();
        self.run_each(|step| {
            let now = Instant::now();
            told(step.nodes(), now - last);
            last = now;
        });
    }

    fn run_each(&mut self, mut told: impl FnMut(&Step)) {
        let shared = &*self.shared;
        if shared.threads > 1 {
            *shared.begun.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            shared.wake.notify_all();
        }
        for step in shared.steps().iter() {
            shared.share(step, 0);
            shared.barrier.wait(&mut self.passed);
            shared.unless_failed(|| told(step));
        }
        if let Some(panic) = shared.panicked() {
            resume_unwind(panic);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        *self.shared.begun.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join(); // it keeps its panics to itself
        }
    }
}

impl Shared {
    fn steps(&self) -> RwLockReadGuard<'_, Vec<Step>> {
        self.steps.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the share of thread `part` in a step.
    fn share(&self, step: &Step, part: usize) {
        // Safety: the steps were made for an arena of this size (`Program::new`, `sharing_weights`) and packed for these kernels,
        // which this processor has (`Kernels`); the barrier keeps threads in the same step, where each has its own rows.
        self.unless_failed(|| unsafe { step.run(self.kernels, &self.arena, part, self.threads) });
    }

    /// Calls `call` unless a thread panicked in this run; a panic of its own ends the run for all.
    fn unless_failed(&self, call: impl FnOnce()) {
        // a thread that panics says so before the barrier, and the others ask behind it
        if self.failed.load(Ordering::Relaxed) {
            return;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
            self.failed.store(true, Ordering::Relaxed);
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    }

    /// The panic of this run, which then is over for all threads.
    fn panicked(&self) -> Option<Box<dyn Any + Send>> {
        let failed = self.failed.load(Ordering::Relaxed);
        failed.then(|| {
            self.failed.store(false, Ordering::Relaxed);
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).take()
        })?
    }
}

fn work(shared: &Shared, part: usize, mut passed: Passed) {
    let mut seen = 0;
    loop {
        let mut begun = shared.begun.lock().unwrap_or_else(PoisonError::into_inner);
        while *begun == seen {
            begun = shared.wake.wait(begun).unwrap_or_else(PoisonError::into_inner);
        }
        seen += 1;
        drop(begun);
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        for step in shared.steps().iter() {
            shared.share(step, part);
            shared.barrier.wait(&mut passed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::super::ir::Shape;
    use super::super::place::Place;
    use super::super::tensor_span::TensorSpan;
    use super::super::{SLACK, best};
    use super::*;

    const SIDE: usize = if cfg!(miri) { 5 } else { 30 };
    const BYTES: usize = SIDE * SIDE * 4;

    /// Where one of two pictures lies.
    fn region(index: usize) -> TensorSpan {
        let shape = Shape { height: SIDE, width: SIDE, channels: 4 };
        TensorSpan { first: index * BYTES, row: SIDE * 4, pixel: 4, shape }
    }

    /// From one picture to the other one, with this list of rows; a row that is not in it is a panic.
    fn pick(rows: usize, from: usize) -> (usize, Work) {
        let all = |count: usize| (0..count as u16).map(Some).collect();
        let (input, output) = (region(from), region(1 - from));
        (from, Work::Place(Place::Pick { rows: all(rows), columns: all(SIDE), fill: 0, input, output }))
    }

    fn program(work: Vec<(usize, Work)>, threads: usize) -> Program {
        let bytes = 2 * BYTES + SLACK;
        let arena = Arena::new(Memory::new(bytes).unwrap().take(bytes));
        let mut program = Program::new(work, best(), arena, threads).unwrap();
        program.bytes_mut()[..BYTES].fill(7);
        program
    }

    /// What `call` gives within ten seconds; who waits for ever is left behind.
    fn soon<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, told) = mpsc::channel();
        std::thread::spawn(move || done.send(call()));
        told.recv_timeout(Duration::from_secs(10)).expect("it hangs")
    }

    fn panics(call: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("it should panic");
        panic.downcast::<String>().map_or_else(|other| (*other.downcast::<&str>().unwrap()).to_owned(), |text| *text)
    }

    #[test]
    fn a_worker_s_panic_comes_out_of_the_run() {
        for threads in [1, 2, 3, 8] {
            // the rows of the last share are missing
            let mut program = program(vec![pick(SIDE, 0), pick(SIDE - 1, 1), pick(SIDE, 0)], threads);
            let program = soon(move || {
                for _ in 0..3 {
                    assert!(panics(|| program.run()).contains("out of bounds"));
                }
                program
            });
            soon(move || drop(program));
        }
    }

    #[test]
    fn a_panic_of_who_is_told_ends_the_run_for_all_threads() {
        for threads in [1, 2, 8] {
            let mut program = program(vec![pick(SIDE, 0), pick(SIDE, 1), pick(SIDE, 0)], threads);
            let program = soon(move || {
                for at in 0..3 {
                    program.bytes_mut().fill(0);
                    program.bytes_mut()[..BYTES].fill(7);
                    let mut told = 0;
                    let panic = panics(|| {
                        program.run_timed(|nodes, _| {
                            told += 1;
                            assert!(told <= at, "{nodes:?}");
                        });
                    });
                    assert_eq!((told, panic), (at + 1, format!("{:?}", at % 2..at % 2 + 1)));
                    // nobody writes any more
                    program.bytes_mut().fill(9);
                    std::thread::sleep(Duration::from_millis(5));
                    assert!(program.bytes().iter().all(|&byte| byte == 9));
                    // and the next run is as good as any
                    program.bytes_mut()[..BYTES].fill(7);
                    program.run();
                    assert!(program.bytes()[..2 * BYTES].iter().all(|&byte| byte == 7));
                }
                program
            });
            soon(move || drop(program));
        }
    }
}
