//! Requests that ask the same at the same time share one answer.
//!
//! An answer is begun only after every request that it is for has come: a request that comes while one is
//! being made waits for the next one. So nobody sees less than was acknowledged before they asked, however
//! many ask, and the disk is read once for all of them, as group commit does for writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Who waits for the next answer to each question that is being answered.
type Waiting<T> = HashMap<String, Vec<oneshot::Sender<T>>>;

/// The answers that are being made.
#[derive(Debug)]
pub(super) struct SingleFlight<T> {
    waiting: Arc<Mutex<Waiting<T>>>,
}

impl<T: Clone + Send + 'static> SingleFlight<T> {
    pub(super) fn new() -> SingleFlight<T> {
        SingleFlight { waiting: Arc::default() }
    }

    /// The answer to a question; `make` makes one, away from the threads that serve connections. `None` when it
    /// could not be made.
    pub(super) async fn share<M, F>(&self, question: String, make: M) -> Option<T>
    where
        M: Fn() -> F + Send + 'static,
        F: Future<Output = Option<T>> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let is_first = !waiting.contains_key(&question);
            waiting.entry(question.clone()).or_default().push(tell);
            is_first
        };
        if is_first {
            // The task is separate: it must go on for the others when this client has left.
            tokio::spawn(answer_all(self.waiting.clone(), question, make));
        }
        told.await.ok()
    }
}

/// Makes answers as long as somebody waits for one.
async fn answer_all<T, M, F>(waiting: Arc<Mutex<Waiting<T>>>, question: String, make: M)
where
    T: Clone,
    M: Fn() -> F,
    F: Future<Output = Option<T>>,
{
    loop {
        let asked = {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let asked = waiting.get_mut(&question).map(std::mem::take).unwrap_or_default();
            if asked.is_empty() {
                waiting.remove(&question);
                return;
            }
            asked
        };
        let answer = make().await;
        for waiter in asked {
            if let Some(answer) = &answer {
                // A client that has left needs no answer.
                let _ = waiter.send(answer.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn who_comes_during_an_answer_gets_the_next_one() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (made, reads) = (Arc::new(AtomicU32::new(0)), Arc::new(SingleFlight::<u32>::new()));
        let (gate_open, gate) = tokio::sync::watch::channel(false);
        let ask = |made: Arc<AtomicU32>, gate: tokio::sync::watch::Receiver<bool>| {
            let reads = reads.clone();
            async move {
                let make = move || {
                    let (number, mut gate) = (made.fetch_add(1, Ordering::SeqCst) + 1, gate.clone());
                    async move {
                        gate.wait_for(|open| *open).await.ok()?;
                        Some(number)
                    }
                };
                reads.share("question".to_owned(), make).await
            }
        };
        let answers = runtime.block_on(async {
            let first = tokio::spawn(ask(made.clone(), gate.clone()));
            while made.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            let later: Vec<_> = (0..5).map(|_| tokio::spawn(ask(made.clone(), gate.clone()))).collect();
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            gate_open.send(true).unwrap();
            let mut answers = vec![first.await.unwrap()];
            for one in later {
                answers.push(one.await.unwrap());
            }
            answers
        });
        assert_eq!(answers, [Some(1), Some(2), Some(2), Some(2), Some(2), Some(2)]);
    }
}
