//! Who acts and where, as links, forms and the socket's address carry it.

use shared::Region;

/// The person and the Region that a tab acts for. Carried by every internal link, so that two
/// tabs of one browser may act as two people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acting {
    /// The handle, `None` for a guest.
    pub handle: Option<String>,
    /// The Region, `None` for the house's default.
    pub region: Option<Region>,
}

impl Acting {
    /// The address of an internal page with who and where in its query.
    #[must_use]
    pub fn link(&self, path: &str) -> String {
        self.link_with(path, &[])
    }

    /// The same with more of a query.
    #[must_use]
    pub fn link_with(&self, path: &str, more: &[(&str, &str)]) -> String {
        let mut address = path.to_owned();
        let own = [
            ("as", self.handle.as_deref()),
            ("in", self.region.map(Region::code)),
        ];
        let own = own.into_iter().filter_map(|(k, v)| Some((k, v?)));
        let mut glue = '?';
        for (name, value) in own.chain(more.iter().copied()) {
            address.push(glue);
            address.push_str(name);
            address.push('=');
            push_encoded(&mut address, value);
            glue = '&';
        }
        address
    }

    /// The handle as a form field has it: empty for a guest.
    #[must_use]
    pub fn as_field(&self) -> String {
        self.handle.clone().unwrap_or_default()
    }

    /// The Region as a form field has it: empty for the default.
    #[must_use]
    pub fn in_field(&self) -> String {
        self.region.map(Region::code).unwrap_or_default().to_owned()
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3).
pub(crate) fn push_encoded(address: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            address.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            address.push('%');
            address.push(char::from(HEX[usize::from(byte >> 4)]));
            address.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_carry_who_and_where_and_nothing_can_break_out_of_them() {
        let acting = Acting {
            handle: Some("lena".into()),
            region: Some(Region::Tokyo),
        };
        assert_eq!(acting.link("/wallet"), "/wallet?as=lena&in=ap-northeast-1");
        assert_eq!(
            acting.link_with("/", &[("problem", "a&b=ü")]),
            "/?as=lena&in=ap-northeast-1&problem=a%26b%3D%C3%BC"
        );
        assert_eq!(Acting::default().link("/"), "/");
        assert_eq!(Acting::default().link_with("/", &[("x", "1")]), "/?x=1");
    }
}
