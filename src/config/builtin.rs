//! The descriptions that come with the program. A third vendor is a file of the operator's.

/// Each names its vendor itself.
pub(super) const DESCRIPTIONS: [&str; 2] = [
    include_str!("../../config/vendors/jing.toml"),
    include_str!("../../config/vendors/aiclk.toml"),
];
