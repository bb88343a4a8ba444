//! Which addresses may be called.
//!
//! Of all rules that match an address, the one with the longest prefix decides; of two with the same length,
//! the refusal. When any permission is configured, an address that no rule matches is refused. Cloud metadata
//! and link-local addresses are refused by default: a user who can submit a job could otherwise have the
//! server fetch its own credentials.
//!
//! An IPv4 address inside an IPv6 one is judged by what it reaches: mapped, compatible (RFC 4291), translated
//! (RFC 2765), NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380), ISATAP (RFC 5214).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::state::Cidr;

/// Metadata services of clouds, and addresses that are never called on purpose.
const REFUSED_FROM_THE_START: [&str; 13] = [
    "0.0.0.0/8",
    "169.254.0.0/16",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "fe80::/10",
    "fec0::/10",
    "fd00:ec2::254/128",
    "fd20:ce::254/128",
    "ff00::/8",
];

/// The rules for the addresses that may be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressRules {
    /// Allowed networks; when empty, all addresses are allowed.
    pub allow: Vec<Cidr>,
    /// Refused networks.
    pub deny: Vec<Cidr>,
}

/// An address that may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} must not be called: {why}")]
pub(crate) struct AddressRefused {
    pub address: IpAddr,
    /// The rule that refuses it.
    pub why: String,
}

impl AddressRules {
    /// Checks that an address may be called.
    ///
    /// # Errors
    /// [`AddressRefused`], with the rule.
    pub(crate) fn check(&self, address: IpAddr) -> Result<(), AddressRefused> {
        reached(address).into_iter().try_for_each(|reached| self.check_reached(address, reached))
    }

    fn check_reached(&self, address: IpAddr, reached: IpAddr) -> Result<(), AddressRefused> {
        let refused = |why| Err(AddressRefused { address, why });
        let longest =
            |blocks: &[Cidr]| blocks.iter().filter(|c| c.contains(reached)).map(|c| c.length()).max();
        let built_in: Vec<Cidr> = REFUSED_FROM_THE_START.iter().filter_map(|c| c.parse().ok()).collect();
        let (allowed, denied, always) = (longest(&self.allow), longest(&self.deny), longest(&built_in));
        let beats = |refusal: Option<u8>| refusal.is_some_and(|r| allowed.is_none_or(|a| r >= a));
        if beats(denied) {
            return refused("webhooks.deny has it".to_owned());
        }
        if beats(always) {
            return refused(
                "link-local, metadata and special addresses need an entry in webhooks.allow".to_owned(),
            );
        }
        if allowed.is_none() && !self.allow.is_empty() {
            return refused("webhooks.allow does not have it".to_owned());
        }
        Ok(())
    }
}

/// Returns the addresses that a packet to this one may reach, by its form: one, except for forms with several
/// uses.
fn reached(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = address.to_canonical() else { return vec![address.to_canonical()] };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    let inside = match [a, b, c, d, e, f] {
        [0x64, 0xff9b, 0, 0, 0, 0] => vec![v4(g, h)],
        [0x64, 0xff9b, 1, ..] => behind_local_translator(v6),
        [0x2002, ..] => vec![v4(b, c)],
        // The client's address, with every bit inverted, and the server's address.
        [0x2001, 0, ..] => vec![v4(!g, !h), v4(c, d)],
        [0, 0, 0, 0, 0xffff, 0] => vec![v4(g, h)],
        [.., 0 | 0x0200, 0x5efe] => vec![v4(g, h)],
        // "IPv4-compatible", long obsolete; not `::` and `::1`.
        [0, 0, 0, 0, 0, 0] if g != 0 => vec![v4(g, h)],
        _ => return vec![v6.into()],
    };
    inside.into_iter().map(IpAddr::V4).collect()
}

/// The prefix of a network's own translator may have 48, 56, 64 or 96 bits, and the IPv4 address has another
/// position in each (RFC 6052, 2.2). An empty position does not count.
fn behind_local_translator(v6: Ipv6Addr) -> Vec<Ipv4Addr> {
    let bytes = v6.octets();
    let places = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]];
    let at = places.map(|place| Ipv4Addr::from(place.map(|byte| bytes[byte])));
    let used: Vec<Ipv4Addr> = at.into_iter().filter(|v4| v4.octets()[0] != 0).collect();
    if used.is_empty() { vec![at[3]] } else { used }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> AddressRules {
        let parse = |list: &[&str]| list.iter().map(|c| c.parse().unwrap()).collect();
        AddressRules { allow: parse(allow), deny: parse(deny) }
    }

    fn may(rules: &AddressRules, address: &str) -> bool {
        rules.check(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn addresses_refuse_metadata_in_all_forms() {
        let none = rules(&[], &[]);
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::ffff:0:a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:a9:fe:a9fe::",
            "64:ff9b:1::a9:fea9:fe00:0",
            "2001:0:808:808:0:ffff:5601:5601",
            "2001:0:a9fe:a9fe:0:ffff:f7f7:f7f7",
            "2001:db8::5efe:a9fe:a9fe",
            "2001:db8::200:5efe:a9fe:a9fe",
            "::169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "0.0.0.0",
            "::",
            "::ffff:0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
        ] {
            assert!(!may(&none, address), "{address}");
        }
        for address in [
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "93.184.215.14",
            "fd12::1",
            "2606:2800::1",
            "64:ff9b::808:808",
            "64:ff9b:1::808:808",
            "2001:0:808:808:0:ffff:f7f7:f7f7",
            "2001:db8::5efe:808:808",
        ] {
            assert!(may(&none, address), "{address}");
        }
    }

    #[test]
    fn addresses_longest_prefix_then_refusal() {
        let some = rules(&["10.0.0.0/8", "10.1.2.0/24"], &["10.1.0.0/16", "10.1.2.7"]);
        for (address, expected) in [
            ("10.9.9.9", true),
            ("10.1.1.1", false),
            ("10.1.2.3", true),
            ("10.1.2.7", false),
            ("11.0.0.1", false),
            ("::ffff:10.1.1.1", false),
            ("::ffff:10.9.9.9", true),
            ("::1", false),
        ] {
            assert_eq!(may(&some, address), expected, "{address}");
        }
        assert!(!may(&rules(&["10.0.0.0/8"], &["10.0.0.0/8"]), "10.0.0.1"));
        assert!(!may(&rules(&["0.0.0.0/0", "::/0"], &[]), "169.254.169.254"));
        assert!(may(&rules(&["169.254.169.254"], &[]), "169.254.169.254"));
    }
}
