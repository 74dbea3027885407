use bytes::Bytes;
use http_body_util::Empty;
use tokio::io::{AsyncWriteExt, duplex};
use tokio::runtime::{Builder, LocalOptions};

use super::*;

const PINGS: Pings = Pings { interval: Duration::from_secs(20), timeout: Duration::from_secs(10) };

/// The peer sends its SETTINGS, and after that takes everything and says nothing.
#[test]
fn p04_a_connection_that_gives_no_sign_of_life_ends_with_its_streams() {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build_local(LocalOptions::default());
    runtime.expect("a runtime").block_on(async {
        let (io, mut peer) = duplex(1 << 20);
        peer.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("written");
        let gauge = || IntGauge::new("connections", "Connections.").expect("a gauge");
        let gauges = Gauges { active: gauge(), idle: gauge() };
        let nobody = std::rc::Weak::<Pool<Empty<Bytes>>>::new();
        let connection = Connection::start(io, PINGS, &gauges, nobody).await.expect("a start");
        // While it carries nothing, it may be silent.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(connection.is_open());

        let mut request = Request::new(Empty::new());
        request::shape(&mut request, &Authority::from_static("api.test"));
        let watch = |body| Watched::new(body, Vec::new(), Rc::default(), connection.link.clone());
        let asked = Instant::now();
        let answer = connection.sender.borrow_mut().try_send_request(request.map(watch));
        let error = answer.await.expect_err("there is no answer").into_error();
        assert_eq!(request::unread(&error), None, "it may have been read");
        assert!(asked.elapsed() <= PINGS.interval + PINGS.timeout, "{:?}", asked.elapsed());
        while connection.is_open() {
            yield_now().await;
        }
    });
}
