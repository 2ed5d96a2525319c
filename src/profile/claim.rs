//! What only one request at a time may take: the profile of processor time, the trace.
//!
//! In: a flag of the process, set while somebody has it. Out: the right to it, which is given back
//! when it is dropped.

use std::sync::atomic::{AtomicBool, Ordering};

/// The right that a flag stands for.
pub struct Right(&'static AtomicBool);

impl Right {
    /// Takes it; `None` while another has it.
    pub fn take(flag: &'static AtomicBool) -> Option<Right> {
        (!flag.swap(true, Ordering::Acquire)).then_some(Right(flag))
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_it() {
        static FLAG: AtomicBool = AtomicBool::new(false);
        let first = Right::take(&FLAG);
        assert!(first.is_some() && Right::take(&FLAG).is_none());
        drop(first);
        assert!(Right::take(&FLAG).is_some());
    }
}
