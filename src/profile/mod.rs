//! Profiles of the running process, in the form that `go tool pprof` opens.
//!
//! In: a question of `/debug/pprof`. Out: samples, each a stack with values, and from them
//! gzip-compressed protobuf (`encode`) or text (`text`). Nothing here runs on a reactor but the
//! signal handler (`sampler`), which copies registers and a piece of the interrupted stack and
//! returns; unwinding (`unwind`) and names (`symbols`) are made on threads of their own.

mod claim;
pub mod cpu;
pub mod encode;
pub mod heap;
mod modules;
mod sampler;
pub mod stalls;
pub mod symbols;
pub mod tasks;
pub mod text;
pub mod threads;
pub mod trace;
mod unwind;

/// One place of a stack.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Place {
    /// An address of code. All but the innermost of a stack are return addresses.
    Code(u64),
    /// Something without code, such as a queue, with the line it belongs to (0 = none).
    Named { name: String, file: String, line: u32 },
}

impl Place {
    /// A place that is only a name.
    pub fn name(name: impl Into<String>) -> Place {
        Place::Named { name: name.into(), file: String::new(), line: 0 }
    }
}

/// A stack, innermost place first, with a value for each of the profile's types.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    pub stack: Vec<Place>,
    pub values: Vec<i64>,
    /// The thread, where that is known.
    pub thread: Option<String>,
}

/// A kind of value and its unit, such as `cpu`, `nanoseconds`.
pub type ValueType = (&'static str, &'static str);

/// A profile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    pub types: Vec<ValueType>,
    pub samples: Vec<Sample>,
    /// Which of the types is meant when nobody says.
    pub shown: usize,
    /// What lies between two samples; 0 where every event is one.
    pub period: (ValueType, i64),
    /// How long was looked (ns); 0 for a picture of one moment.
    pub duration_ns: i64,
}

impl Profile {
    /// A picture of one moment that counts things.
    pub fn counting(unit: &'static str, samples: Vec<Sample>) -> Profile {
        let types = vec![(unit, "count")];
        Profile { types, samples, shown: 0, period: ((unit, "count"), 1), duration_ns: 0 }
    }

    /// The sum of the shown value over all samples.
    pub fn total(&self) -> i64 {
        self.samples.iter().filter_map(|sample| sample.values.get(self.shown)).sum()
    }
}
