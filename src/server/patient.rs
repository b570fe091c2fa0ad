//! A connection that lets its calls go first.
//!
//! Each call that has something to say wakes its connection, which a runtime polls next, since what was just woken is
//! warm: it would write the answer of one call, in a system call of its own, while those of the others are about to come.
//! So a connection with several calls goes to the end of the queue once, behind the calls that are ready, and then writes
//! what all of them have.
use super::lifetime::Calls;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Polls a connection behind its calls, where it has more than one.
pub(super) struct Patient<'a, C> {
    connection: Pin<&'a mut C>,
    calls: &'a Calls,
    has_waited: bool,
}

impl<'a, C> Patient<'a, C> {
    pub fn new(connection: Pin<&'a mut C>, calls: &'a Calls) -> Self {
        Self { connection, calls, has_waited: false }
    }
}

impl<C: Future> Future for Patient<'_, C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let this = &mut *self;
        if !this.has_waited && this.calls.are_several() {
            this.has_waited = true;
            // A task that wakes itself is put at the end of the queue.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.has_waited = false;
        this.connection.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, future::poll_fn, pin::pin};

    #[tokio::test]
    async fn a_connection_with_several_calls_is_polled_behind_what_is_ready() {
        for (calls, turns) in [(0, 1), (1, 1), (2, 2), (9, 2)] {
            let all = Calls::default();
            let _open: Vec<_> = (0..calls).map(|_| all.begin()).collect();
            let polled = Cell::new(0);
            let mut connection = pin!(poll_fn(|_| {
                polled.set(polled.get() + 1);
                Poll::Ready(())
            }));
            let mut taken = 0;
            let mut patient = Patient::new(connection.as_mut(), &all);
            poll_fn(|cx| {
                taken += 1;
                Pin::new(&mut patient).poll(cx)
            })
            .await;
            assert_eq!((taken, polled.get()), (turns, 1), "{calls} calls");
        }
    }
}
