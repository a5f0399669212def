//! Steps in their order, over threads that stay.
//!
//! Every step is split by output rows; all threads finish a step before the next begins. The rows
//! do not depend on who computes them, so the result is the same for every number of threads.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::ir::{Checked, Graph};
use super::Kernels;
use super::arena::Arena;
use super::memory::Memory;
use super::step::Step;

/// Most threads of one program.
pub const THREADS_MAX: usize = 64;
/// Turns that a thread waits for the others at full speed, then with pauses that spare the memory, before
/// it lets them have the processor.
const SPINS: [u32; 2] = [100, 2_000];

/// A counter that shares its cache line with nothing that other threads read all the time.
#[repr(align(128))]
struct Alone(AtomicUsize);

/// Steps, their memory, and the kernels that they were packed for.
struct Shared {
    /// Read during a run, written between runs; of twins the same.
    steps: Arc<RwLock<Vec<Step>>>,
    kernels: &'static Kernels,
    arena: Arena,
    threads: usize,
    /// Threads that have finished, over all steps of all runs.
    done: Alone,
    /// Number of runs that were begun; workers wait for it to grow.
    begun: Mutex<usize>,
    wake: Condvar,
    stop: AtomicBool,
}

/// A plan that can be run, again and again.
pub struct Program {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Barriers passed by this thread.
    passed: usize,
}

impl Program {
    /// Steps that were made for an arena of this size and packed for `kernels`, on `threads` threads
    /// (at least this one, at most [`THREADS_MAX`]).
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn new(steps: Vec<Step>, kernels: &'static Kernels, arena: Arena, threads: usize) -> std::io::Result<Program> {
        Program::start(Arc::new(RwLock::new(steps)), kernels, arena, threads.clamp(1, THREADS_MAX))
    }

    /// Another program of the same steps, packed once for both, with memory and threads of its own.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn twin(&self) -> std::io::Result<Program> {
        let Shared { steps, kernels, arena, threads, .. } = &*self.shared;
        let arena = Arena::new(Memory::new(arena.size()).take(arena.size()));
        Program::start(Arc::clone(steps), kernels, arena, *threads)
    }

    fn start(
        steps: Arc<RwLock<Vec<Step>>>,
        kernels: &'static Kernels,
        arena: Arena,
        threads: usize,
    ) -> std::io::Result<Program> {
        let shared = Arc::new(Shared {
            steps,
            kernels,
            arena,
            threads,
            done: Alone(AtomicUsize::new(0)),
            begun: Mutex::new(0),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let mut program = Program { shared, workers: Vec::with_capacity(threads - 1), passed: 0 };
        for part in 1..threads {
            let shared = Arc::clone(&program.shared);
            let name = format!("engine-{part}");
            let body = move || work(&shared, part);
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
    /// The node and what is wrong with its numbers, or that a twin computes with them; no step has changed
    /// then.
    pub fn renumber(&mut self, graph: &Checked<Graph>) -> Result<(), String> {
        // `twin` is the only way to more of them, and `&mut self` keeps it away
        if Arc::strong_count(&self.shared.steps) > 1 {
            return Err("its numbers are those of another plan as well".into());
        }
        let mut steps = self.shared.steps.write().unwrap_or_else(PoisonError::into_inner);
        steps.iter().try_for_each(|step| step.check(graph))?;
        steps.iter_mut().for_each(|step| step.renumber(graph, self.shared.kernels));
        Ok(())
    }

    /// Runs all steps.
    pub fn run(&mut self) {
        self.run_each(|_| {});
    }

    /// Runs all steps and tells the nodes and the time of each.
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
            // Safety: the steps were made for an arena of this size and packed for these kernels (`new`, `twin`); the
            // barrier keeps threads in the same step, where each has its own rows.
            unsafe { step.run(shared.kernels, &shared.arena, 0, shared.threads) };
            shared.barrier(&mut self.passed);
            told(step);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        *self.shared.begun.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join(); // kernels do not panic
        }
    }
}

impl Shared {
    fn steps(&self) -> RwLockReadGuard<'_, Vec<Step>> {
        self.steps.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every thread has come here as often as this one.
    fn barrier(&self, passed: &mut usize) {
        if self.threads == 1 {
            return;
        }
        *passed += 1;
        let Alone(done) = &self.done;
        done.fetch_add(1, Ordering::AcqRel);
        let mut turns = 0;
        while done.load(Ordering::Acquire) < *passed * self.threads {
            turns += 1;
            if turns > SPINS[1] {
                std::thread::yield_now();
            } else if turns > SPINS[0] {
                std::hint::spin_loop();
            }
        }
    }
}

fn work(shared: &Shared, part: usize) {
    let (mut seen, mut passed) = (0, 0);
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
            // Safety: as in `Program::run_each`.
            unsafe { step.run(shared.kernels, &shared.arena, part, shared.threads) };
            shared.barrier(&mut passed);
        }
    }
}
