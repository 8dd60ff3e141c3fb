//! Tests of tables, values and options.
use proptest::prelude::*;

use super::*;

#[test]
fn every_kind_has_its_own_table() {
    for kind in HeaderKind::ALL {
        assert_eq!(spec(*kind).kind, *kind);
    }
}

#[test]
fn a_new_header_parses_as_itself() {
    for kind in HeaderKind::ALL {
        let header = Header::new(*kind);
        assert!(header.buffer_len() >= spec(*kind).min_len, "{kind}");
    }
}

proptest! {
    #[test]
    fn parse_and_emit_are_inverse(kind in 0..HeaderKind::ALL.len(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let kind = HeaderKind::ALL[kind];
        if let Ok(header) = Header::parse(kind, &bytes) {
            let mut output = vec![0; header.buffer_len()];
            prop_assert_eq!(header.emit(&mut output), Ok(output.len()));
            prop_assert_eq!(&output[..], &bytes[..output.len()]);
            for (index, field) in header.spec().fields.iter().enumerate() {
                let value = header.get_at(index);
                if value == Value::Absent || field.alias {
                    continue;
                }
                // Setting every field to the value it has changes nothing.
                if !matches!(value, Value::Options(_)) {
                    let mut same = header.clone();
                    same.set_at(index, value.clone()).unwrap();
                    prop_assert_eq!(same.get_at(index), value, "{} {}", kind, field.name);
                    prop_assert_eq!(same.as_bytes(), header.as_bytes(), "{} {}", kind, field.name);
                }
            }
        }
    }

    #[test]
    fn options_that_decode_encode_to_the_same_options(
        space in prop::sample::select(vec![
            OptionSpace::Ipv4, OptionSpace::Tcp, OptionSpace::Ipv6, OptionSpace::Mobility, OptionSpace::Ndp,
            OptionSpace::Srh, OptionSpace::Geneve, OptionSpace::Sctp, OptionSpace::Dccp, OptionSpace::Pppoe,
            OptionSpace::Mld, OptionSpace::Igmp, OptionSpace::Radiotap,
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let list = options::decode(space, &bytes);
        let _ = options::encode(space, &list, 0);
    }
}
