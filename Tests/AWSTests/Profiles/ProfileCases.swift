import Testing

/// Profile files, ordinary and odd, with what botocore 1.43 makes of them: the merged profiles, `sso-session` and `services`
/// sections as JSON, or nil where it refuses the files.
struct ProfileCase: Sendable, CustomTestStringConvertible {
    let name: String
    let config: String
    let credentials: String?
    let expected: String?
    var testDescription: String { name }

    init(_ name: String, _ config: String, credentials: String? = nil, expected: String?) {
        self.name = name
        self.config = config
        self.credentials = credentials
        self.expected = expected
    }

    static let all = [
        ProfileCase(
            "empty file", "",
            expected: ##"{"profiles": {}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "only comments", "# a\n; b\n\n",
            expected: ##"{"profiles": {}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "default profile", "[default]\nregion = eu-west-1\n",
            expected: ##"{"profiles": {"default": {"region": "eu-west-1"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "named profile", "[profile dev]\nregion = a\n",
            expected: ##"{"profiles": {"dev": {"region": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "profile without the word", "[dev]\nregion = a\n",
            expected: ##"{"profiles": {}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "profile with a space in quotes", "[profile \"my team\"]\nregion = a\n",
            expected: ##"{"profiles": {"my team": {"region": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "profile in single quotes", "[profile 'my team']\nregion = a\n",
            expected: ##"{"profiles": {"my team": {"region": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "profile with an unquoted space", "[profile my team]\nregion = a\n",
            expected: ##"{"profiles": {}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "profile with an open quote", "[profile \"my]\nregion = a\n",
            expected: ##"{"profiles": {}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "profile without a name", "[profile]\nregion = a\n",
            expected: ##"{"profiles": {}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "profile with tabs", "[profile\tdev]\nregion = a\n",
            expected: ##"{"profiles": {"dev": {"region": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "profile with many blanks", "[profile    dev]\nregion = a\n",
            expected: ##"{"profiles": {"dev": {"region": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "blanks inside the brackets", "[ profile dev ]\nregion = a\n",
            expected: ##"{"profiles": {}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "a prefix that only begins with profile", "[profile-x dev]\nregion = a\n",
            expected: ##"{"profiles": {"dev": {"region": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "default twice, once with the word",
            "[default]\nregion = a\noutput = json\n[profile default]\nregion = b\n",
            expected: ##"{"profiles": {"default": {"region": "b"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "the word first, then default", "[profile default]\nregion = b\noutput = json\n[default]\nregion = a\n",
            expected: ##"{"profiles": {"default": {"region": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "capital DEFAULT gives defaults",
            "[DEFAULT]\nregion = d\noutput = text\n[profile a]\nregion = x\n[default]\n",
            expected:
                ##"{"profiles": {"a": {"output": "text", "region": "x"}, "default": {"output": "text", "region": "d"}}, "services": {}, "sso": {}}"##
        ),
        ProfileCase(
            "section names keep their case", "[profile Dev]\nregion = a\n[profile dev]\nregion = b\n",
            expected: ##"{"profiles": {"Dev": {"region": "a"}, "dev": {"region": "b"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "keys lose their case", "[default]\nRegion = a\nAWS_Access_Key_Id = B\n",
            expected:
                ##"{"profiles": {"default": {"aws_access_key_id": "B", "region": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "duplicate section", "[profile a]\nregion = x\n[profile a]\nregion = y\n",
            expected: nil),
        ProfileCase(
            "same profile, written two ways", "[profile a]\nregion = x\noutput = json\n[profile \"a\"]\nregion = y\n",
            expected: ##"{"profiles": {"a": {"region": "y"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "duplicate key", "[default]\nregion = a\nregion = b\n",
            expected: nil),
        ProfileCase(
            "duplicate key in another case", "[default]\nregion = a\nREGION = b\n",
            expected: nil),
        ProfileCase(
            "duplicate key with a colon", "[default]\nregion = a\nregion: b\n",
            expected: nil),
        ProfileCase(
            "setting before any section", "region = a\n[default]\n",
            expected: nil),
        ProfileCase(
            "colon as delimiter", "[default]\nregion: a\n",
            expected: ##"{"profiles": {"default": {"region": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "no blanks around the delimiter", "[default]\nregion=a\n",
            expected: ##"{"profiles": {"default": {"region": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "many blanks around the delimiter", "[default]\nregion    =    a\n",
            expected: ##"{"profiles": {"default": {"region": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "equals in the value", "[default]\nk = a=b=c\n",
            expected: ##"{"profiles": {"default": {"k": "a=b=c"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "colon before equals", "[default]\nk:a = b\n",
            expected: ##"{"profiles": {"default": {"k": "a = b"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "equals before colon", "[default]\nk = a:b\n",
            expected: ##"{"profiles": {"default": {"k": "a:b"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "a URL as the value", "[default]\nendpoint_url = https://host:8443/path\n",
            expected:
                ##"{"profiles": {"default": {"endpoint_url": "https://host:8443/path"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "no value", "[default]\nk =\nj = 1\n",
            expected: ##"{"profiles": {"default": {"j": "1", "k": ""}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "no delimiter", "[default]\nk\nj = 1\n",
            expected: nil),
        ProfileCase(
            "no key", "[default]\n= v\n",
            expected: nil),
        ProfileCase(
            "only a delimiter", "[default]\n=\n",
            expected: nil),
        ProfileCase(
            "hash after the value", "[default]\nk = a # b\n",
            expected: ##"{"profiles": {"default": {"k": "a # b"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "semicolon after the value", "[default]\nk = a ; b\n",
            expected: ##"{"profiles": {"default": {"k": "a ; b"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "hash without a blank", "[default]\nk = a#b\n",
            expected: ##"{"profiles": {"default": {"k": "a#b"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "comment between keys", "[default]\nk = a\n# c\nj = b\n",
            expected: ##"{"profiles": {"default": {"j": "b", "k": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "indented comment between keys", "[default]\nk = a\n   # c\nj = b\n",
            expected: ##"{"profiles": {"default": {"j": "b", "k": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "comment that looks like a section", "[default]\n#[x]\nk = a\n",
            expected: ##"{"profiles": {"default": {"k": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "text after a section", "[default] # mine\nk = a\n",
            expected: ##"{"profiles": {"default": {"k": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "quoted values keep their quotes", "[default]\nk = \"a b\"\nj = 'c'\n",
            expected: ##"{"profiles": {"default": {"j": "'c'", "k": "\"a b\""}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "percent and dollar are plain", "[default]\nk = %(region)s\nj = $HOME\n",
            expected: ##"{"profiles": {"default": {"j": "$HOME", "k": "%(region)s"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "trailing blanks", "[default]   \nk = a   \n",
            expected: ##"{"profiles": {"default": {"k": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "tabs", "[default]\n\tk\t=\ta\t\n",
            expected: ##"{"profiles": {"default": {"k": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "continuation", "[default]\nk = a\n  b\n",
            expected: ##"{"profiles": {"default": {"k": "a\nb"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "continuation over blank lines", "[default]\nk = a\n\n  b\n\n\nj = c\n",
            expected: ##"{"profiles": {"default": {"j": "c", "k": "a\n\nb"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "continuation with equals", "[default]\nk = a\n  b = c\n",
            expected: ##"{"profiles": {"default": {"k": "a\nb = c"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "continuation by a tab", "[default]\nk = a\n\tb\n",
            expected: ##"{"profiles": {"default": {"k": "a\nb"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "continuation after no value", "[default]\nk =\n  b\n",
            expected: nil),
        ProfileCase(
            "nested block", "[default]\ns3 =\n  a = 1\n  b = 2\nk = v\n",
            expected: ##"{"profiles": {"default": {"k": "v", "s3": {"a": "1", "b": "2"}}}, "services": {}, "sso": {}}"##
        ),
        ProfileCase(
            "nested block with blank lines and comments", "[default]\ns3 =\n\n  a = 1\n  # c\n\n  b = 2\n",
            expected: ##"{"profiles": {"default": {"s3": {"a": "1", "b": "2"}}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "nested block keeps the case of its keys", "[default]\ns3 =\n  Aa = 1\n",
            expected: ##"{"profiles": {"default": {"s3": {"Aa": "1"}}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "nested block with equals in a value", "[default]\ns3 =\n  a = 1=2\n",
            expected: ##"{"profiles": {"default": {"s3": {"a": "1=2"}}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "nested block with a doubled key", "[default]\ns3 =\n  a = 1\n  a = 2\n",
            expected: ##"{"profiles": {"default": {"s3": {"a": "2"}}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "nested block deeper than one level", "[default]\ns3 =\n  a =\n    b = 1\n",
            expected: ##"{"profiles": {"default": {"s3": {"a": "", "b": "1"}}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "nested block with a line without equals", "[default]\ns3 =\n  a = 1\n  b\n",
            expected: nil),
        ProfileCase(
            "nested block by colon", "[default]\ns3 =\n  a: 1\n",
            expected: nil),
        ProfileCase(
            "indented keys of one depth", "[default]\n  k = a\n  j = b\n",
            expected: ##"{"profiles": {"default": {"j": "b", "k": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "indented keys of growing depth", "[default]\nk = a\n j = b\n  i = c\n",
            expected: ##"{"profiles": {"default": {"k": "a\nj = b\ni = c"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "indented keys of falling depth", "[default]\n   k = a\n  j = b\n i = c\n",
            expected: ##"{"profiles": {"default": {"i": "c", "j": "b", "k": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "indented section", "[default]\nk = a\n  [profile x]\n  region = b\n",
            expected: ##"{"profiles": {"default": {"k": "a\n[profile x]\nregion = b"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "section after a continuation", "[default]\nk = a\n  b\n[profile x]\nregion = c\n",
            expected: ##"{"profiles": {"default": {"k": "a\nb"}, "x": {"region": "c"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "indented line after a section", "[default]\n   k = a\n",
            expected: ##"{"profiles": {"default": {"k": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "CR LF", "[default]\r\nk = a\r\n  b\r\n\r\nj = c\r\n",
            expected: ##"{"profiles": {"default": {"j": "c", "k": "a\nb"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "lone CR", "[default]\rk = a\rj = b\r",
            expected: ##"{"profiles": {"default": {"j": "b", "k": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "no newline at the end", "[default]\nk = a",
            expected: ##"{"profiles": {"default": {"k": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "unicode", "[profile grün]\nregion = ☂ ä\n",
            expected: ##"{"profiles": {"gr\u00fcn": {"region": "\u2602 \u00e4"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "line separators are not line ends", "[default]\nk = a\u{2028}b\n",
            expected: ##"{"profiles": {"default": {"k": "a\u2028b"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "form feed inside", "[default]\nk = a\u{c}b\n",
            expected: ##"{"profiles": {"default": {"k": "a\fb"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "no-break space around", "[default]\n\u{a0}k\u{a0}=\u{a0}a\u{a0}\n",
            expected: ##"{"profiles": {"default": {"k": "a"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "sso session",
            "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://x\n[profile a]\nsso_session = corp\n",
            expected:
                ##"{"profiles": {"a": {"sso_session": "corp"}}, "services": {}, "sso": {"corp": {"sso_region": "eu-west-1", "sso_start_url": "https://x"}}}"##
        ),
        ProfileCase(
            "sso session with a quoted name", "[sso-session \"my corp\"]\nsso_region = a\n",
            expected: ##"{"profiles": {}, "services": {}, "sso": {"my corp": {"sso_region": "a"}}}"##),
        ProfileCase(
            "services",
            "[services local]\nec2 =\n  endpoint_url = http://localhost:1\nsts =\n  endpoint_url = http://localhost:2\n[profile a]\nservices = local\n",
            expected:
                ##"{"profiles": {"a": {"services": "local"}}, "services": {"local": {"ec2": {"endpoint_url": "http://localhost:1"}, "sts": {"endpoint_url": "http://localhost:2"}}}, "sso": {}}"##
        ),
        ProfileCase(
            "services of the same name as a profile",
            "[services a]\nec2 =\n  endpoint_url = x\n[profile a]\nregion = b\n",
            expected:
                ##"{"profiles": {"a": {"region": "b"}}, "services": {"a": {"ec2": {"endpoint_url": "x"}}}, "sso": {}}"##
        ),
        ProfileCase(
            "unknown sections", "[plugins]\ncli = x\n[preview]\na = b\n",
            expected: ##"{"profiles": {}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "broken section", "[default\nk = a\n",
            expected: nil),
        ProfileCase(
            "empty section name", "[]\nk = a\n",
            expected: nil),
        ProfileCase(
            "section of one bracket", "[default]]\nk = a\n",
            expected: ##"{"profiles": {}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "credentials add a profile", "[profile a]\nregion = x\n", credentials: "[b]\naws_access_key_id = K\n",
            expected:
                ##"{"profiles": {"a": {"region": "x"}, "b": {"aws_access_key_id": "K"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "credentials win key by key", "[profile a]\nregion = x\naws_access_key_id = C\n",
            credentials: "[a]\naws_access_key_id = K\naws_secret_access_key = S\n",
            expected:
                ##"{"profiles": {"a": {"aws_access_key_id": "K", "aws_secret_access_key": "S", "region": "x"}}, "services": {}, "sso": {}}"##
        ),
        ProfileCase(
            "credentials with the word profile", "", credentials: "[profile a]\naws_access_key_id = K\n",
            expected: ##"{"profiles": {"profile a": {"aws_access_key_id": "K"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "credentials default", "[default]\nregion = x\n", credentials: "[default]\naws_access_key_id = K\n",
            expected:
                ##"{"profiles": {"default": {"aws_access_key_id": "K", "region": "x"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "credentials with DEFAULT", "", credentials: "[DEFAULT]\nregion = x\n[a]\naws_access_key_id = K\n",
            expected: ##"{"profiles": {"a": {"aws_access_key_id": "K", "region": "x"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "credentials with quotes in a name", "", credentials: "[\"a b\"]\naws_access_key_id = K\n",
            expected: ##"{"profiles": {"\"a b\"": {"aws_access_key_id": "K"}}, "services": {}, "sso": {}}"##),
        ProfileCase(
            "malformed credentials", "[default]\nregion = x\n", credentials: "aws_access_key_id = K\n",
            expected: nil),
        ProfileCase(
            "credentials twice", "", credentials: "[a]\nk = 1\n[a]\nk = 2\n",
            expected: nil),
    ]
}
