//! Web browsers are kept out: by the host that a request names, and by the marks that a browser
//! leaves on what it sends.

mod hosts;
mod marks;

pub use hosts::{BadHost, Host, Hosts};
pub use marks::{Pages, Stranger, judge};
