//! Futures that are polled only when they themselves asked to be.
//!
//! A task is woken for many reasons and polls all that it waits for, whichever it was. What happens once in the life of a
//! connection or a stream (a shutdown, a deadline, credentials that end) would be looked at, under locks that all share,
//! for each message.
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Polls its future first, and then only after that has woken the task.
pub(super) struct Rarely<F: ?Sized> {
    bell: Option<Bell>,
    future: Pin<Box<F>>,
}

/// The waker of one task, which notes that it was rung.
struct Bell {
    rung: Arc<Rung>,
    waker: Waker,
}

struct Rung {
    is: AtomicBool,
    task: Waker,
}

impl Wake for Rung {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task is woken, so that it finds the note.
        self.is.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Bell {
    fn of(task: &Waker) -> Self {
        let rung = Arc::new(Rung { is: AtomicBool::new(true), task: task.clone() });
        Self { waker: rung.clone().into(), rung }
    }
}

impl<F: ?Sized> Rarely<F> {
    pub fn new(future: Pin<Box<F>>) -> Self {
        Self { future, bell: None }
    }
}

impl<F: Future + ?Sized> Future for Rarely<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        // Another task has it now.
        let bell = match this.bell.take().filter(|bell| bell.rung.task.will_wake(cx.waker())) {
            Some(bell) => this.bell.insert(bell),
            None => this.bell.insert(Bell::of(cx.waker())),
        };
        if !bell.rung.is.load(Ordering::Relaxed) || !bell.rung.is.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        this.future.as_mut().poll(&mut Context::from_waker(&bell.waker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn it_is_polled_first_and_when_it_asked_to_be_and_never_else() {
        let (tell, mut told) = oneshot::channel::<u8>();
        let mut polls = 0;
        let mut rarely = Rarely::new(Box::pin(poll_fn(|cx| {
            polls += 1;
            Pin::new(&mut told).poll(cx)
        })));
        for _ in 0..100 {
            assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut rarely).poll(cx))).await.is_pending());
            tokio::task::yield_now().await;
        }
        tell.send(7).unwrap();
        assert_eq!((rarely.await.unwrap(), polls), (7, 2));
    }

    #[tokio::test]
    async fn it_wakes_the_task_that_has_it_now() {
        let (tell, told) = oneshot::channel::<u8>();
        let mut rarely = Rarely::new(Box::pin(told));
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut rarely).poll(cx))).await.is_pending());
        let elsewhere = tokio::spawn(rarely);
        tokio::task::yield_now().await;
        tell.send(7).unwrap();
        assert_eq!(elsewhere.await.unwrap().unwrap(), 7);
    }
}
