//! Address prefixes of both families.
use crate::FibError;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Bits of an address.
    #[inline]
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The address with this number; of an IPv4 address the low 32 bits count.
    #[inline]
    pub const fn address(self, number: u128) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
            Self::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
        }
    }

    /// The family of an address.
    #[inline]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The number of an address; of an IPv4 address in the low 32 bits.
#[inline]
pub(crate) const fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits() as u128,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// An address prefix, RFC 4632 section 3.1 and RFC 4291 section 2.3, whose host bits are zero.
///
/// Ordered by family, address, length: a prefix comes before those that it contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    family: Family,
    address: u128,
    length: u8,
}

impl Prefix {
    /// The prefix of `length` bits of an address.
    ///
    /// # Errors
    /// [`FibError::PrefixLength`] for a length above the family's bits, [`FibError::HostBits`] when bits behind the
    /// prefix are set.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, FibError> {
        let prefix = Self::containing(address, length)?;
        if prefix.address == number(address) {
            Ok(prefix)
        } else {
            Err(FibError::HostBits { address, length, prefix })
        }
    }

    /// The prefix of `length` bits that contains an address: host bits are cleared.
    ///
    /// # Errors
    /// [`FibError::PrefixLength`].
    pub fn containing(address: IpAddr, length: u8) -> Result<Self, FibError> {
        let family = Family::of(address);
        if length > family.bits() {
            return Err(FibError::PrefixLength { length: u32::from(length), family });
        }
        Ok(Self { family, address: number(address) & mask(family, length), length })
    }

    /// The prefix that is one address.
    pub const fn host(address: IpAddr) -> Self {
        let family = Family::of(address);
        Self { family, address: number(address), length: family.bits() }
    }

    /// The prefix of length 0, which contains every address of the family.
    pub const fn all(family: Family) -> Self {
        Self { family, address: 0, length: 0 }
    }

    /// The family.
    #[inline]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The first address as a number; of IPv4 in the low 32 bits.
    #[inline]
    pub const fn address(&self) -> u128 {
        self.address
    }

    /// The first address.
    pub const fn network(&self) -> IpAddr {
        self.family.address(self.address)
    }

    /// The last address as a number; of an IPv4 network the broadcast address.
    #[inline]
    pub const fn last(&self) -> u128 {
        self.address | (mask(self.family, 0x80) & !mask(self.family, self.length))
    }

    /// Bits of the prefix.
    #[inline]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// True when the prefix contains the address with this number, of the prefix' own family.
    #[inline]
    pub const fn contains(&self, number: u128) -> bool {
        number & mask(self.family, self.length) == self.address
    }

    /// True when the prefix contains the address.
    pub fn contains_address(&self, address: IpAddr) -> bool {
        self.family == Family::of(address) && self.contains(number(address))
    }

    /// True when every address of `other` is also in this prefix.
    pub fn covers(&self, other: &Self) -> bool {
        self.family == other.family && self.length <= other.length && self.contains(other.address)
    }

    /// The prefix one bit shorter; none is shorter than length 0.
    pub(crate) fn parent(&self) -> Option<Self> {
        let length = self.length.checked_sub(1)?;
        Some(Self { family: self.family, address: self.address & mask(self.family, length), length })
    }
}

/// Ones in the first `length` bits of an address; all of them for lengths beyond the family's.
const fn mask(family: Family, length: u8) -> u128 {
    let bits = family.bits();
    let ones = u128::MAX >> (128 - bits);
    if length >= bits { ones } else { ones & !(ones >> length) }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.length)
    }
}

impl FromStr for Prefix {
    type Err = FibError;

    /// `ADDRESS/LENGTH`, or `ADDRESS` for that address alone.
    fn from_str(text: &str) -> Result<Self, FibError> {
        let malformed = || FibError::PrefixText { text: text.chars().take(80).collect() };
        let Some((address, length)) = text.split_once('/') else {
            return Ok(Self::host(text.parse().map_err(|_| malformed())?));
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        if length.is_empty() || length.len() > 3 || !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        let length: u32 = length.parse().map_err(|_| malformed())?;
        let family = Family::of(address);
        let short = u8::try_from(length).map_err(|_| FibError::PrefixLength { length, family })?;
        Self::new(address, short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_both_ways() {
        for text in
            ["0.0.0.0/0", "192.0.2.0/24", "255.255.255.255/32", "::/0", "2001:db8::/32", "2001:db8::1/128"]
        {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.1".parse::<Prefix>().unwrap().to_string(), "192.0.2.1/32");
    }

    #[test]
    fn host_bits_name_the_prefix_that_was_meant() {
        let error = "192.0.2.77/26".parse::<Prefix>().unwrap_err();
        assert!(error.to_string().contains("192.0.2.64/26"), "{error}");
        assert!(matches!("2001:db8::1/64".parse::<Prefix>(), Err(FibError::HostBits { .. })));
    }

    #[test]
    fn malformed_text_is_told_apart_from_long_prefixes() {
        for text in ["", "/", "1.2.3/8", "1.2.3.4/", "1.2.3.4/+8", "::/ 1", "1.2.3.4/8/9", "1.2.3.4/0000"] {
            assert!(matches!(text.parse::<Prefix>(), Err(FibError::PrefixText { .. })), "{text}");
        }
        for text in ["0.0.0.0/33", "::/129", "::/300"] {
            assert!(matches!(text.parse::<Prefix>(), Err(FibError::PrefixLength { .. })), "{text}");
        }
    }

    #[test]
    fn containment_has_the_right_ends() {
        let prefix: Prefix = "192.0.2.64/26".parse().unwrap();
        assert_eq!(Family::V4.address(prefix.last()).to_string(), "192.0.2.127");
        assert!(prefix.contains_address("192.0.2.64".parse().unwrap()));
        assert!(prefix.contains_address("192.0.2.127".parse().unwrap()));
        assert!(!prefix.contains_address("192.0.2.128".parse().unwrap()));
        assert!(!prefix.contains_address("192.0.2.63".parse().unwrap()));
        assert_eq!(Prefix::all(Family::V6).last(), u128::MAX);
        assert!(Prefix::all(Family::V4).covers(&prefix) && !prefix.covers(&Prefix::all(Family::V4)));
    }
}
