//! Memory that the connections of a thread share: each needs it for a moment, and most wait.

use std::cell::Cell;

/// Room for a read whose length nobody knows; what is kept of it is copied out.
pub fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCH.take();
    if scratch.is_empty() {
        scratch = vec![0; SCRATCH_BYTES];
    }
    let read = read(&mut scratch);
    SCRATCH.set(scratch);
    read
}

/// An empty buffer for whoever writes next: what is written at once needs none of its own.
pub fn take_spare() -> Vec<u8> {
    SPARE.take()
}

/// Keeps the buffer for the next who writes, if it has not grown too large.
pub fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() <= MOST_SPARE {
        buffer.clear();
        SPARE.set(buffer);
    }
}

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

const SCRATCH_BYTES: usize = 64 << 10;
const MOST_SPARE: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spare_buffer_is_empty_and_never_large() {
        let mut buffer = take_spare();
        buffer.extend_from_slice(b"of another connection");
        let room = buffer.capacity();
        give_back(buffer);
        let again = take_spare();
        assert!(again.is_empty());
        assert_eq!(again.capacity(), room, "it is the same one");
        give_back(Vec::with_capacity(MOST_SPARE + 1));
        assert_eq!(take_spare().capacity(), 0);
    }

    #[test]
    fn a_read_within_a_read_has_room_of_its_own() {
        let rooms = with_scratch(|outer| {
            outer[0] = b'x';
            with_scratch(|inner| {
                inner[0] = b'y';
                inner.len()
            }) + usize::from(outer[0] == b'x')
        });
        assert_eq!(rooms, SCRATCH_BYTES + 1);
    }
}
