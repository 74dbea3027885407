//! What the requests of a worker are served by: replaced as a whole when the config changes. A request
//! keeps what it began with to its end.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::access::Log;
use super::clients::Roster;
use super::route::Routes;

/// One config, as a worker serves it.
#[derive(Debug)]
pub struct Serving {
    /// `None`: nobody is asked who they are.
    pub clients: Option<Arc<Roster>>,
    pub routes: Routes,
    /// `None`: there is no access log.
    pub access: Option<Rc<Log>>,
}

/// What the next request is served by. Clones share it.
#[derive(Clone, Debug)]
pub struct Now(Rc<RefCell<Rc<Serving>>>);

impl Now {
    pub fn new(serving: Serving) -> Self {
        Self(Rc::new(RefCell::new(Rc::new(serving))))
    }

    pub fn get(&self) -> Rc<Serving> {
        self.0.borrow().clone()
    }

    /// From the next request on, this serves. Returns what has served.
    pub fn replace(&self, serving: Serving) -> Rc<Serving> {
        self.0.replace(Rc::new(serving))
    }
}
