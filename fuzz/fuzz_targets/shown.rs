#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| tasktally_fuzz::access::shown(input));
