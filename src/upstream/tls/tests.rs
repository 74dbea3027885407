use std::error::Error;

use super::*;

type Outcome = Result<(), Box<dyn Error>>;

#[test]
fn a_version_names_itself_and_what_is_newer() -> Outcome {
    let config: Config = Config { min_version: Version::Tls13, ..Config::default() };
    check(&config)?;
    assert_eq!(Version::Tls13.and_newer().len(), 1);
    assert_eq!(Version::Tls12.and_newer().len(), 2);
    Ok(())
}

#[test]
fn what_no_certificate_can_name_is_known() {
    for (name, good) in [
        ("api.test", true),
        ("10.0.0.1", true),
        ("::1", true),
        ("*.api.test", false),
        ("a..test", false),
        ("-a.test", false),
        ("a!b.test", false),
    ] {
        assert_eq!(is_name(name), good, "{name}");
    }
}

#[test]
fn a_plain_upstream_trusts_nobody_and_reads_no_certificate_of_the_machine() -> Outcome {
    client_config(&Config::default(), true)?;
    Ok(())
}
