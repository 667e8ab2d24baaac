//! Whatever a resolver may be sent, in a view that has everything. The same as `tests/properties.rs` does, with the fuzzer's messages.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use privlink::sim::Names;

static NAMES: LazyLock<Names> = LazyLock::new(Names::everything);

fuzz_target!(|message: &[u8]| NAMES.endure(message));
