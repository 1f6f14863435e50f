//! The statements as they are sent, without a server.

use lowtide_proto::Qtype;

use super::*;

#[test]
fn statements_end_at_semicolons_outside_quotes_and_comments() {
    let file = "SELECT ';' -- a; b\n FROM \"x;y\";\n\nSELECT 'it\\'s;', '''';SELECT 1 - -1; -- the end;\n";
    let parts: Vec<_> = split(file).collect();
    assert_eq!(
        parts,
        ["SELECT ';' -- a; b\n FROM \"x;y\"", "SELECT 'it\\'s;', ''''", "SELECT 1 - -1", "-- the end;"]
    );
}

#[test]
fn nothing_is_left_to_fill_in() {
    for cluster in [None, Some("fleet".to_owned())] {
        let options = Options { cluster, ..Options::single("dns") };
        for sql in options.statements(0) {
            assert!(!sql.contains('$'), "{sql}");
            assert!(!sql.contains("  ON CLUSTER"), "{sql}");
        }
    }
    assert!(Options::single("dns").statements(VERSION).is_empty());
}

#[test]
fn bits_of_query_types_are_those_of_clients() {
    use lowtide_aggregate::drain::client::type_bit;
    let names = QTYPE_BIT.split('\'').skip(1).step_by(2);
    let (own, lowest) = (0..63_u16, 251..256);
    assert!(own.clone().all(|code| type_bit(Qtype(code)) == 1 << code));
    assert!(lowest.clone().all(|code| type_bit(Qtype(code)) == 1));
    let expected: Vec<String> = own.chain(lowest).map(|code| Qtype(code).to_string()).collect();
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

#[test]
fn names_are_quoted() {
    let options = Options { cluster: Some("a`b".into()), ..Options::single("x\\y") };
    assert_eq!(
        options.statements(0).first().unwrap(),
        "CREATE DATABASE IF NOT EXISTS `x\\\\y` ON CLUSTER `a\\`b`"
    );
}
