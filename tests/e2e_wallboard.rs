//! The wallboard's page, what is pushed to it, and its sessions, from the real binary. What a browser makes of it is tested
//! in a browser: tests/browser.

mod common;

mod wallboard {
    mod page;
    mod pushed;
    mod sessions;
}
