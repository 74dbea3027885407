//! One thread that serves requests: its own runtime, its own upstream connections, no locks.

mod serving;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use crate::drain::Drain;
use crate::framing;
use crate::proxy::access;
use crate::proxy::clients::Roster;
use crate::proxy::listener::Socket;
use crate::proxy::route::Settings;
use crate::proxy::tls;
use crate::telemetry::metrics::Metrics;
use crate::upstream::connect::Connector;
use crate::upstream::pool;

use serving::Serves;

/// What every worker is built from, and rebuilt.
#[derive(Debug)]
pub struct Blueprint {
    pub upstreams: Vec<UpstreamBlueprint>,
    /// All sockets that are served.
    pub listeners: Vec<Listener>,
    /// Who may call by TCP; `None`: everybody who can.
    pub clients: Option<Arc<Roster>>,
    /// Callers' connections at one time, to all workers.
    pub connections: usize,
    pub requests: framing::Limits,
    /// `None`: there is no access log.
    pub access: Option<access::Log>,
    /// What callers by TCP are shown.
    pub tls: Option<tls::Shared>,
}

#[derive(Clone, Debug)]
pub struct UpstreamBlueprint {
    pub settings: Arc<Settings>,
    pub way: Arc<Way>,
}

/// How an upstream is reached. Its connections are kept for as long as it is the same one.
#[derive(Debug)]
pub struct Way {
    pub connector: Connector,
    pub pool: pool::Config,
}

/// A socket, and what comes in by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// No other socket of this process has or had it.
    pub number: u64,
    /// The name of the one upstream that it leads to; `None`: to all of them.
    pub upstream: Option<String>,
}

/// What is the same for a worker's life.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub metrics: Arc<Metrics>,
    pub drain: Drain,
}

/// A thread that serves.
#[derive(Debug)]
pub struct Worker {
    thread: JoinHandle<()>,
    orders: mpsc::Sender<Order>,
}

/// By which a worker can be asked whether it still turns.
#[derive(Clone, Debug)]
pub struct Pulse(mpsc::Sender<Order>);

/// What a worker is told.
#[derive(Debug)]
enum Order {
    Change(Change),
    /// To say that it is there.
    Answer(oneshot::Sender<()>),
}

/// A socket by its [`Listener::number`], for one worker.
pub type Opened = (u64, Socket);

/// What a worker is to serve from now on.
#[derive(Debug)]
pub struct Change {
    pub blueprint: Arc<Blueprint>,
    /// The sockets of the blueprint that the worker does not have yet.
    pub opened: Vec<Opened>,
    /// Told when it serves so.
    pub done: oneshot::Sender<()>,
}

/// Starts `count` workers, which serve nothing yet. All of them accept from the same sockets: whoever is
/// free takes the next connection, and none is stranded in the queue of a worker that is busy. Only
/// workers keep the sockets: when the last one stops accepting, callers are refused and do not wait in
/// the queue.
///
/// # Errors
/// When a thread cannot be had.
pub fn start(around: &Surroundings, count: usize) -> io::Result<Vec<Worker>> {
    let start_one = |number| {
        let (orders, to_follow) = mpsc::channel(1);
        let around = around.clone();
        let name = format!("worker-{number}");
        let thread = thread::Builder::new().name(name).spawn(move || {
            if let Err(error) = run(around, to_follow, number) {
                error!(%error, "a worker could not start");
            }
        })?;
        Ok(Worker { thread, orders })
    };
    (0..count).map(start_one).collect()
}

impl Worker {
    /// Has it serve otherwise. What is under way ends as it began. One that has ended serves nothing.
    pub async fn change(&self, change: Change) {
        let _ = self.orders.send(Order::Change(change)).await;
    }

    pub fn pulse(&self) -> Pulse {
        Pulse(self.orders.clone())
    }

    /// Waits for its end, in this thread.
    pub fn join(self) {
        let _ = self.thread.join();
    }
}

impl Pulse {
    /// Completes when it has answered, between two turns of what it serves: never, if it hangs or has
    /// ended.
    pub async fn beats(&self) {
        let (answer, answered) = oneshot::channel();
        let asked = self.0.send(Order::Answer(answer)).await;
        if asked.is_err() || answered.await.is_err() {
            std::future::pending().await
        }
    }
}

fn run(around: Surroundings, mut orders: mpsc::Receiver<Order>, number: usize) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let drain = around.drain.clone();
        let mut serves = Serves::new(around, number);
        loop {
            tokio::select! {
                Some(order) = orders.recv() => match order {
                    Order::Change(change) => serves.change(change),
                    // Whoever has asked may wait no longer.
                    Order::Answer(answer) => drop(answer.send(())),
                },
                () = drain.ended() => return Ok(()),
            }
        }
    })
}
