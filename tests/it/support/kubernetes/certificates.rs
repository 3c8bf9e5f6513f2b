//! The certificate authority of the test cluster, and the certificates that it issues.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

/// A certificate and its key, PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new([]).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "nanoseg-test");
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("an authority");
        Authority { issuer }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a server certificate for these names and addresses.
    pub fn server(&self, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let params = CertificateParams::new(names).expect("names");
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Issues a certificate for a user in groups. The API server reads them as common name and organisations.
    pub fn client(&self, user: &str, groups: &[&str]) -> Pair {
        let mut params = CertificateParams::new([]).expect("names");
        let name = &mut params.distinguished_name;
        *name = rcgen::DistinguishedName::new();
        name.push(DnType::CommonName, user);
        // An attribute has one value here, and the API server reads all attributes of the type.
        assert!(groups.len() <= 1, "{groups:?}: one group at most");
        for group in groups {
            name.push(DnType::OrganizationName, *group);
        }
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> Pair {
        params.extended_key_usages = vec![purpose];
        let key = key();
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair {
            certificate: signed.pem(),
            key: key.serialize_pem(),
        }
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// Returns a key pair for ServiceAccount tokens: the signing key, and a certificate of which only the key is used.
pub fn token_key() -> Pair {
    let key = key();
    let params = CertificateParams::new([]).expect("names");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    Pair {
        certificate,
        key: key.serialize_pem(),
    }
}
