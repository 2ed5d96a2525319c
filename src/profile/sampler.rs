//! The signal handler that looks at a thread: it copies the registers and a piece of the stack,
//! and returns.
//!
//! In: SIGPROF, with the number of a slot as its value: from a timer of one thread's processor
//! time, or sent to a thread that is looked at. Out: records in the slot's ring, which one other
//! thread reads. The handler takes no lock, allocates nothing, reads only mapped stack, and
//! restores `errno`. A timer of processor time goes off while its thread runs, so calls that wait
//! are seldom interrupted; those that are begin anew (SA_RESTART) or are known to the runtime.
//!
//! A session's memory outlives its signals: whoever ends one takes it out of `ACTIVE` and waits
//! until no handler runs; a signal that comes later finds another session number and does nothing.

use super::unwind::REGISTERS;
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Once, OnceLock};

/// Bytes copied of a stack; what lies further out is not seen.
const STACK_BYTES: usize = 128 << 10;
/// Records that wait to be read; further ones are counted as lost.
const RECORDS: usize = 8;
/// Threads that a session looks at.
pub const SLOTS: usize = 256;

/// What a session is for; two of different kinds may run at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Cpu = 0,
    Stall = 1,
}

static ACTIVE: [AtomicPtr<Session>; 2] = [const { AtomicPtr::new(ptr::null_mut()) }; 2];
static RUNNING: AtomicUsize = AtomicUsize::new(0);
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// One look at a thread.
struct Record {
    registers: [u64; REGISTERS],
    len: usize,
    stack: [u8; STACK_BYTES],
}

/// What a slot has once its thread is known.
struct Ring {
    records: Box<[UnsafeCell<Record>]>,
    /// The mapped pieces of memory, in order: stacks are among them.
    mapped: Vec<(u64, u64)>,
}

/// A thread that is looked at. Its handler alone writes, the session's owner alone reads.
#[derive(Default)]
struct Slot {
    ring: OnceLock<Ring>,
    written: AtomicUsize,
    read: AtomicUsize,
    lost: AtomicU64,
}

/// A set of threads that are looked at.
pub struct Session {
    kind: Kind,
    number: u64,
    slots: Box<[Slot]>,
}

// SAFETY: the cells of a ring are handed from one writer to one reader by `written` and `read`.
unsafe impl Sync for Session {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Session {}

/// A session that signals find; it ends when this is dropped.
pub struct Active(Box<Session>);

impl Active {
    /// Begins a session. At most one of a kind may run at a time; the caller sees to that.
    ///
    /// # Errors
    /// When the handler cannot be installed.
    pub fn begin(kind: Kind) -> io::Result<Active> {
        install()?;
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let slots = (0..SLOTS).map(|_| Slot::default()).collect();
        let session = Box::new(Session { kind, number, slots });
        if let Some(active) = ACTIVE.get(kind as usize) {
            active.store(ptr::from_ref(&*session).cast_mut(), Ordering::SeqCst);
        }
        Ok(Active(session))
    }

    /// Makes a slot ready and gives the value that its signals carry.
    pub fn prepare(&self, slot: usize) -> Option<usize> {
        let found = self.0.slots.get(slot)?;
        found.ring.get_or_init(Ring::new);
        let number = usize::try_from(self.0.number).ok()?;
        Some(number << 16 | (self.0.kind as usize) << 15 | slot)
    }

    /// Hands over what is new in a slot: registers, and the stack from the stack pointer on.
    pub fn take(&self, slot: usize, mut each: impl FnMut(&[u64; REGISTERS], &[u8])) {
        let Some(slot) = self.0.slots.get(slot) else { return };
        let Some(ring) = slot.ring.get() else { return };
        let written = slot.written.load(Ordering::Acquire);
        let mut read = slot.read.load(Ordering::Relaxed);
        while read != written {
            if let Some(cell) = ring.records.get(read % RECORDS) {
                // SAFETY: the handler does not touch a record between `written` and `read`.
                let record = unsafe { &*cell.get() };
                each(&record.registers, record.stack.get(..record.len).unwrap_or(&[]));
            }
            read = read.wrapping_add(1);
            slot.read.store(read, Ordering::Release);
        }
    }

    /// Looks that found no room in their slot.
    pub fn lost(&self) -> u64 {
        self.0.slots.iter().map(|slot| slot.lost.load(Ordering::Relaxed)).sum()
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if let Some(active) = ACTIVE.get(self.0.kind as usize) {
            active.store(ptr::null_mut(), Ordering::SeqCst);
        }
        // A handler takes microseconds, a sleeping one the time until its thread runs again.
        while RUNNING.load(Ordering::SeqCst) != 0 {
            std::thread::yield_now();
        }
    }
}

impl Ring {
    fn new() -> Ring {
        let records = Box::<[UnsafeCell<Record>]>::new_zeroed_slice(RECORDS);
        // SAFETY: a record is plain numbers, for which zero is valid.
        Ring { records: unsafe { records.assume_init() }, mapped: mapped() }
    }
}

/// The writable pieces of the process's memory.
fn mapped() -> Vec<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let piece = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        rest.starts_with("rw").then_some((number(start)?, number(end)?))
    };
    text.lines().filter_map(piece).collect()
}

/// Installs the handler, once; it stays, because what SIGPROF does by itself is to end the
/// process.
fn install() -> io::Result<()> {
    static ONCE: Once = Once::new();
    static FAILED: AtomicU64 = AtomicU64::new(0);
    ONCE.call_once(|| {
        // SAFETY: the structure is plain numbers, for which zero is valid; the handler lives as
        // long as the process and is of the form that SA_SIGINFO asks for.
        let done = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(libc::SIGPROF, &raw const action, ptr::null_mut())
        };
        FAILED.store(u64::from(done != 0), Ordering::Relaxed);
    });
    match FAILED.load(Ordering::Relaxed) {
        0 => Ok(()),
        _ => Err(io::Error::other("the handler of SIGPROF cannot be installed")),
    }
}

extern "C" fn handler(_signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel hands over a filled structure; timers and queued signals have a value in
    // it, others are told apart by their code.
    let value = unsafe {
        match (*info).si_code {
            libc::SI_TIMER | libc::SI_QUEUE => (*info).si_value().sival_ptr as usize,
            _ => return,
        }
    };
    // SAFETY: the location is this thread's.
    let errno = unsafe { *libc::__errno_location() };
    RUNNING.fetch_add(1, Ordering::SeqCst);
    let active = ACTIVE.get(value >> 15 & 1).map(|active| active.load(Ordering::SeqCst));
    // SAFETY: a session that is found here is not freed before `RUNNING` is 0.
    if let Some(session) = active.and_then(|session| unsafe { session.as_ref() })
        && session.number == (value >> 16) as u64
        && let Some(slot) = session.slots.get(value & 0x7fff)
    {
        // SAFETY: the context is the kernel's, of the interrupted thread, which is this one.
        unsafe { look(slot, context) };
    }
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Copies what there is to see.
///
/// # Safety
/// `context` is what a signal handler got, on its own thread; no other handler writes to the slot.
unsafe fn look(slot: &Slot, context: *mut c_void) {
    let Some(ring) = slot.ring.get() else { return };
    let written = slot.written.load(Ordering::Relaxed);
    if written.wrapping_sub(slot.read.load(Ordering::Acquire)) >= RECORDS {
        slot.lost.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let Some(cell) = ring.records.get(written % RECORDS) else { return };
    // SAFETY: the reader leaves records alone that are not yet counted in `written`.
    let record = unsafe { &mut *cell.get() };
    // SAFETY: as the caller promises.
    record.registers = unsafe { registers(context) };
    let pointer = record.registers.get(super::unwind::STACK_POINTER).copied().unwrap_or(0);
    let at = ring.mapped.partition_point(|(_, end)| *end <= pointer);
    let piece = ring.mapped.get(at).filter(|(start, _)| *start <= pointer);
    let len = piece.map_or(0, |(_, end)| usize::try_from(end - pointer).unwrap_or(0));
    record.len = len.min(STACK_BYTES);
    // SAFETY: the thread's stack is mapped from its pointer to the end of the piece, which was
    // there when the thread was; the two places do not overlap, since the record is not on a stack.
    unsafe {
        ptr::copy_nonoverlapping(pointer as *const u8, record.stack.as_mut_ptr(), record.len);
    }
    slot.written.store(written.wrapping_add(1), Ordering::Release);
}

/// The interrupted registers, by their numbers in unwind tables.
///
/// # Safety
/// `context` is what a signal handler got.
#[cfg(target_arch = "x86_64")]
unsafe fn registers(context: *mut c_void) -> [u64; REGISTERS] {
    use libc::{
        REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RAX, REG_RBP,
        REG_RBX, REG_RCX, REG_RDI, REG_RDX, REG_RIP, REG_RSI, REG_RSP,
    };
    // SAFETY: as the caller promises.
    let general = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    [
        REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8, REG_R9,
        REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP,
    ]
    .map(|at| usize::try_from(at).ok().and_then(|at| general.get(at)).map_or(0, |v| *v as u64))
}

/// Other processors have other registers; their stacks stay empty.
///
/// # Safety
/// None is needed.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn registers(_context: *mut c_void) -> [u64; REGISTERS] {
    [0; REGISTERS]
}
