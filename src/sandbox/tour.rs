//! What a newcomer needs to see the gateway work before these vendors: a config and three calls.

use std::fmt::Display;
use std::net::SocketAddr;

use super::{Settings, Vendor};

/// Where the parts of a demonstration listen.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub admin: SocketAddr,
    /// In the order of [`Vendor::ALL`].
    pub vendors: [SocketAddr; 2],
}

/// The config that a newcomer would write for these vendors.
pub fn config(vendors: SocketAddr, settings: &Settings, ports: Ports) -> String {
    let [jing, aiclk] = Vendor::ALL.map(Vendor::name);
    let [first, second] = ports.vendors;
    format!(
        r#"
[admin]
listen = "{admin}"

[store]
kind = "memory"

[shutdown]
grace = "1s"

[upstream.{jing}]
vendor = "{jing}"
listen = "{first}"
base_url = "http://{vendors}"
credentials.app_id = "{app_id}"
credentials.app_secret = "{app_secret}"

[upstream.{aiclk}]
vendor = "{aiclk}"
listen = "{second}"
base_url = "http://{vendors}"
credentials.client_id = "{client_id}"
credentials.refresh_token = "{refresh_token}"
"#,
        admin = ports.admin,
        app_id = settings.jing.app_id,
        app_secret = settings.jing.app_secret,
        client_id = settings.aiclk.client_id,
        refresh_token = settings.aiclk.first_refresh_token,
    )
}

/// Three calls to paste. `listener` tells where the gateway listens for a vendor.
pub fn calls<A: Display>(
    vendors: SocketAddr,
    settings: &Settings,
    listener: impl Fn(&str) -> A,
) -> String {
    let (jing, aiclk) = (listener(Vendor::Jing.name()), listener(Vendor::Aiclk.name()));
    let name = Vendor::Aiclk.name();
    let life = settings.aiclk.tokens.access_life.as_secs();
    format!(
        "
Both vendors are simulated here, and their tokens live {life} seconds. Call them without any token:

  curl -s '{jing}/v1/user/list?page=1'
  curl -s '{aiclk}/openapi/v1/account/info?account_id=1'

Now let a vendor call the living token dead, as happens when somebody else refreshes it. The call
meets the rejection, a new token is fetched, and the call is sent again:

  curl -s -X POST 'http://{vendors}/-/fault?vendor={name}&kind=expire'; curl -si '{aiclk}/openapi/v1/account/info?account_id=1'
"
    )
}

/// The credentials that the vendors accept, for whoever starts them alone.
pub fn credentials(settings: &Settings) -> String {
    let Settings { jing, aiclk } = settings;
    format!(
        "  {}: app_id = \"{}\", app_secret = \"{}\"\n  {}: client_id = \"{}\", refresh_token = \"{}\"",
        Vendor::Jing.name(),
        jing.app_id,
        jing.app_secret,
        Vendor::Aiclk.name(),
        aiclk.client_id,
        aiclk.first_refresh_token,
    )
}
