//! XDP programs may take frames away before any capture.

use lowtide_capture::live::{ANY, LiveCapture, LiveError, LiveOptions, Warning, Xdp, xdp};

use crate::frames::udp_4;
use crate::net::{Net, SENDER, Sender, TAP, ip, octets, open, options, take};
use crate::program::passes_all;

#[test]
fn an_attached_program_is_refused_or_told() {
    let Some(_net) = Net::new() else { return };
    // veth's driver takes no program with larger frames.
    ip(&["link", "set", SENDER, "mtu", "1500"]);
    ip(&["link", "set", TAP, "mtu", "1500"]);
    assert_eq!(xdp(TAP).unwrap(), Xdp::None);
    assert_eq!(xdp(ANY).unwrap(), Xdp::None);
    assert!(xdp("eth-none").is_err());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pass.o");
    std::fs::write(&file, passes_all()).unwrap();
    for (mode, expected) in [("xdpgeneric", Xdp::Generic), ("xdpdrv", Xdp::Driver)] {
        let mut before = open(&options());
        ip(&["link", "set", "dev", TAP, mode, "obj", file.to_str().unwrap(), "sec", "xdp"]);
        assert_eq!(xdp(TAP).unwrap(), expected);
        assert_eq!(xdp(ANY).unwrap(), expected);
        assert_eq!(before.xdp().unwrap(), expected);
        drop(before);

        for interface in [TAP, ANY] {
            let options = LiveOptions { interface: interface.to_owned(), ..options() };
            let Err(error) = LiveCapture::open(&options) else { panic!("it opens") };
            assert!(matches!(&error, LiveError::Xdp { xdp, .. } if *xdp == expected), "{error}");
            assert!(error.to_string().contains("coverage would be unknown"), "{error}");
        }

        let mut capture = open(&LiveOptions { allow_xdp: true, ..options() });
        assert_eq!(capture.warnings(), [Warning::Xdp(expected)]);
        let sent = vec![udp_4(([192, 0, 2, 1], 40_000), ([198, 51, 100, 2], 53), b"query")];
        Sender::new().send(&sent);
        assert_eq!(octets(&take(&mut capture, 1)), sent);

        ip(&["link", "set", "dev", TAP, mode, "off"]);
        assert_eq!(capture.xdp().unwrap(), Xdp::None);
    }
}
