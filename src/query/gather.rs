//! Questions to the indexes of all shards at once.
//!
//! In: a look-up. Out: one answer of each shard, in the order of shards.

use super::{Context, QueryError};
use crate::shard::scan::{Found, Lookup, ScanError};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

/// Asks every shard; all work at the same time.
///
/// # Errors
/// The first shard that failed.
pub async fn ask(context: Context<'_>, lookup: Lookup) -> Result<Vec<Found>, QueryError> {
    let lookup = Arc::new(lookup);
    let cluster = context.cluster;
    let answers = cluster.shards().map(|shard| cluster.lookup(shard, lookup.clone())).collect();
    let mut out = Vec::new();
    for answer in all(answers).await {
        match answer {
            Some(Found::Failed(error)) => return Err(error.into()),
            Some(found) => out.push(found),
            None => return Err(ScanError::Lost.into()),
        }
    }
    Ok(out)
}

/// Waits for all futures, which run at the same time; results in their order.
pub async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    let mut waiting: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    poll_fn(|cx| {
        let mut ready = true;
        for (output, future) in outputs.iter_mut().zip(&mut waiting) {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *output = Some(value),
                    Poll::Pending => ready = false,
                }
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future;

    #[test]
    fn results_come_in_the_order_of_futures() {
        let delayed = |turns: usize, value: usize| async move {
            for _ in 0..turns {
                future::yield_now().await;
            }
            value
        };
        let outputs = future::block_on(all(vec![delayed(3, 1), delayed(0, 2), delayed(1, 3)]));
        assert_eq!(outputs, [1, 2, 3]);
        assert!(future::block_on(all(Vec::<std::future::Ready<u8>>::new())).is_empty());
    }
}
