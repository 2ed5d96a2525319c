//! Waiting for several futures at once on one core.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// A future until it is done, then what it gave.
enum Waiting<F: Future> {
    Running(Pin<Box<F>>),
    Done(F::Output),
}

/// Runs all futures together; their results come in the order of the futures.
pub async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<Waiting<F>> =
        futures.into_iter().map(|future| Waiting::Running(Box::pin(future))).collect();
    poll_fn(|context| {
        let mut open = false;
        for one in &mut all {
            let Waiting::Running(future) = one else { continue };
            match future.as_mut().poll(context) {
                Poll::Ready(output) => *one = Waiting::Done(output),
                Poll::Pending => open = true,
            }
        }
        if open { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    let output = |one| match one {
        Waiting::Done(output) => Some(output),
        Waiting::Running(_) => None,
    };
    all.into_iter().filter_map(output).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::notify::promise;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn results_keep_their_order_whoever_ends_first() {
        let (first, first_end) = promise();
        let (second, second_end) = promise();
        let mut both = Box::pin(all([first_end, second_end]));
        assert!(block_on(poll_once(&mut both)).is_none());
        second.keep(2);
        assert!(block_on(poll_once(&mut both)).is_none());
        first.keep(1);
        assert_eq!(block_on(both), [Some(1), Some(2)]);
        assert!(block_on(all(Vec::<std::future::Ready<()>>::new())).is_empty());
    }
}
