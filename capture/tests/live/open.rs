//! Captures that cannot begin say what to do.

use std::panic;

use lowtide_capture::live::{LiveCapture, LiveError, LiveOptions};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::net::{Net, SENDER, TAP, ip, options};

fn error(options: &LiveOptions) -> LiveError {
    match LiveCapture::open(options) {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

#[test]
fn an_interface_that_is_not_there_names_those_that_are() {
    let Some(_net) = Net::new() else { return };
    for name in ["eth-none", "", "a-name-longer-than-interfaces-have"] {
        let error = error(&LiveOptions::new(name));
        let LiveError::NoInterface { interface, present } = &error else { panic!("{error}") };
        assert_eq!(interface, name);
        for there in ["lo", SENDER, TAP] {
            assert!(present.iter().any(|name| name == there), "{present:?}");
        }
        assert!(error.to_string().contains("there are any, lo"), "{error}");
    }
}

#[test]
fn an_interface_that_is_down_says_so() {
    let Some(_net) = Net::new() else { return };
    ip(&["link", "set", TAP, "down"]);
    assert_eq!(error(&options()).to_string(), "interface tap is down");
}

#[test]
fn a_bad_filter_is_shown_with_what_libpcap_says() {
    let Some(_net) = Net::new() else { return };
    let error = error(&LiveOptions { filter: Some("prot 53".to_owned()), ..options() });
    let LiveError::Filter { filter, message } = &error else { panic!("{error}") };
    assert_eq!(filter, "prot 53");
    assert!(message.contains("syntax error"), "{message}");
    assert!(error.to_string().starts_with("filter \"prot 53\": "), "{error}");
}

#[test]
fn without_the_right_to_capture_it_says_what_is_needed() {
    let Some(_net) = Net::new() else { return };
    // In a thread of its own, because rights are a thread's.
    let error = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let mut sets = capabilities(None).unwrap();
                sets.effective.remove(CapabilitySet::NET_RAW);
                set_capabilities(None, sets).unwrap();
                error(&options())
            })
            .join()
            .unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    });
    assert!(matches!(error, LiveError::Permission { .. }), "{error}");
    assert!(error.to_string().contains("needs CAP_NET_RAW: run as root, or `setcap"), "{error}");
}
