//! Every diagnostic code. A code is a promise: tools match on it, so its meaning never changes and none is reused.

use std::fmt;

use super::diagnostic::Severity;

macro_rules! codes {
    ($($name:ident $text:literal $summary:literal,)*) => {
        /// What a diagnostic is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $summary] $name,)*
        }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &[Code] = &[$(Code::$name,)*];

            /// The stable text: `E-` for faults, `W-` for warnings.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// One line on what it means.
            pub const fn summary(self) -> &'static str {
                match self { $(Code::$name => $summary,)* }
            }
        }
    };
}

codes! {
    File "E-FILE" "A file is missing, unreadable or not a regular file.",
    FileSize "E-FILE-SIZE" "A file is larger than the limit.",
    FileChanged "E-FILE-CHANGED" "A file changed while it was read.",
    Path "E-PATH" "An address group's file lies outside the policy file's directory.",
    Utf8 "E-UTF8" "A file is not UTF-8.",
    Control "E-CONTROL" "A control character that no text file has.",
    Yaml "E-YAML" "The text is not YAML.",
    Json "E-JSON" "`import`: the text is not JSON.",
    Import "E-IMPORT" "`import`: nothing in the file that it can read.",
    Empty "E-EMPTY" "The file holds no policy.",
    Documents "E-DOCUMENTS" "The file holds more than one YAML document.",
    Alias "E-ALIAS" "An alias that is not usable, or aliases that expand to too much.",
    Depth "E-DEPTH" "Lists and mappings are nested too deeply.",
    Nodes "E-NODES" "The file has more values than the limit.",
    Tag "E-TAG" "A YAML tag.",
    KeyUnknown "E-KEY-UNKNOWN" "A key that does not exist here.",
    KeyDuplicate "E-KEY-DUPLICATE" "The same key twice in one mapping.",
    KeyMissing "E-KEY-MISSING" "A required key is missing.",
    Kind "E-KIND" "A list, mapping or single value in the place of another, or nothing at all.",
    Version "E-VERSION" "The version of the policy language is not 1.",
    Text "E-TEXT" "Text that YAML readers take for a boolean, a number or nothing.",
    Bool "E-BOOL" "Not true or false.",
    Number "E-NUMBER" "Not a plain decimal number.",
    Range "E-RANGE" "A number outside its range.",
    Choice "E-CHOICE" "A word that is not one of the choices.",
    Duration "E-DURATION" "Not a time span with its unit.",
    Time "E-TIME" "Not a point in time.",
    Name "E-NAME" "A name that is empty, too long or has characters that names cannot have.",
    InterfaceMissing "E-INTERFACE-MISSING" "`apply`: the host has no interface of this name.",
    InterfaceName "E-INTERFACE-NAME" "A name that no network interface can have.",
    NameDuplicate "E-NAME-DUPLICATE" "The same name, address or member twice.",
    Address "E-ADDRESS" "Not an IP address, or not one that an instance can have.",
    Prefix "E-PREFIX" "Not a CIDR prefix.",
    HostBits "E-HOST-BITS" "A prefix with bits set after its length.",
    Mac "E-MAC" "Not the MAC address of one station.",
    Protocol "E-PROTOCOL" "Not a protocol.",
    Port "E-PORT" "Not a port or port range.",
    PortReversed "E-PORT-REVERSED" "A port range whose end comes before its start.",
    PortProtocol "E-PORT-PROTOCOL" "Ports for a protocol that has none.",
    Icmp "E-ICMP" "ICMP type and code do not fit together.",
    IcmpProtocol "E-ICMP-PROTOCOL" "ICMP type for a protocol that is not ICMP.",
    Family "E-FAMILY" "Parts of a rule that belong to different address families.",
    Remote "E-REMOTE" "Not a remote.",
    GroupUnknown "E-GROUP-UNKNOWN" "A security group that the file does not define.",
    AddressGroupUnknown "E-ADDRESS-GROUP-UNKNOWN" "An address group that the file does not define.",
    Service "E-SERVICE" "Not a service preset.",
    ServiceConflict "E-SERVICE-CONFLICT" "A service beside a protocol, ports or an ICMP type.",
    Template "E-TEMPLATE" "Not a template.",
    Quota "E-QUOTA" "More groups or rules than the quota.",
    Capacity "E-CAPACITY" "`check`: the policy needs more than the kernel tables hold; `apply` refuses with status 4.",
    Conntrack "E-CONNTRACK" "One interface's share is larger than the connection table.",
    Stateless "E-STATELESS" "A setting that means nothing for a stateless group.",
    AntiSpoof "E-ANTI-SPOOF" "Anti-spoofing without addresses to check, or on a host interface.",
    LinkLocal "E-LINK-LOCAL" "A link-local address to be made from a MAC that is not given.",
    More "E-MORE" "Further faults are not listed.",
    OpenAdmin "W-OPEN-ADMIN" "An administration port is open to the world.",
    OpenDatabase "W-OPEN-DATABASE" "A database port is open to the world.",
    OpenAll "W-OPEN-ALL" "Every port is open to the world.",
    Smtp "W-SMTP" "A rule for outbound mail, which is blocked before the rules.",
    Shadowed "W-SHADOWED" "A rule that can never match, because another one always decides first.",
    Redundant "W-REDUNDANT" "A rule that changes nothing, because a wider one does the same.",
    Duplicate "W-DUPLICATE" "The same rule twice.",
    UnusedGroup "W-UNUSED-GROUP" "A security group that nothing uses.",
    UnusedAddressGroup "W-UNUSED-ADDRESS-GROUP" "An address group that nothing uses.",
    EmptyAddressGroup "W-EMPTY-ADDRESS-GROUP" "An address group without addresses matches nobody.",
    Defaults "W-DEFAULTS" "Groups on one interface disagree on a default.",
    DefaultGroup "W-DEFAULT-GROUP" "An interface falls back to a default group that does not exist.",
    Expired "W-EXPIRED" "A rule that has expired.",
    ExemptAll "W-EXEMPT-ALL" "An exempt network that is every address.",
    MoreWarnings "W-MORE" "Further warnings are not listed.",
    NoNewline "W-NO-NEWLINE" "The last line has no line end: the file may be half written.",
}

impl Code {
    /// Whether it refuses the file.
    pub fn severity(self) -> Severity {
        if self.as_str().starts_with("E-") { Severity::Error } else { Severity::Warning }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
