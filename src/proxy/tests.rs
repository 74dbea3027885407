use super::*;
use crate::framing::CallerBody;

fn size_of_future<A, F: Future>(_: fn(A) -> F) -> usize {
    size_of::<F>()
}

/// It is moved into place for every request.
#[test]
fn the_future_of_a_request_stays_small() {
    type Arguments = (&'static Proxy, Entrance, Request<CallerBody>);
    let handle =
        |(proxy, entrance, request): Arguments| proxy.handle(entrance, &Peer::Unix, request);
    let size = size_of_future(handle);
    assert!(size <= 3300, "{size} bytes");
}
