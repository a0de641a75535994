import SMTPCore
import Settings

/// A machine that is written down.
func machine(_ files: [String: String], hosts: [String: [String]] = [:], hasIPv6: Bool = true) -> LoadEnvironment {
    func interface(_ text: String, _ length: Int) -> HostFacts.Interface { .init(address: IPAddress(text)!, prefixLength: length) }
    return LoadEnvironment(
        readFile: { path in files[path].map { .success(Array($0.utf8)) } ?? .failure(.init(message: "No such file or directory")) },
        resolve: { host in (hosts[host] ?? []).compactMap { IPAddress($0) } },
        facts: HostFacts(
            hostName: "mx",
            interfaces: [interface("127.0.0.1", 8), interface("192.0.2.2", 24), interface("::1", 128), interface("fd00::2", 64)]
        ),
        hasIPv6: hasIPv6
    )
}

let smtpdLine = "smtp inet n - n - - smtpd\n"

/// Loads /etc/postern made of the two texts.
func load(
    _ main: String,
    master: String = smtpdLine,
    files: [String: String] = [:],
    hosts: [String: [String]] = [:],
    hasIPv6: Bool = true
) -> (Configuration?, [Diagnostic]) {
    let all = files.merging(["/c/main.cf": "compatibility_level = 3.6\n" + main, "/c/master.cf": master]) { given, _ in given }
    return Configuration.load(directory: "/c", environment: machine(all, hosts: hosts, hasIPv6: hasIPv6))
}

extension [Diagnostic] {
    var errors: [String] { filter { $0.severity == .error }.map(\.description) }
    var warnings: [String] { filter { $0.severity == .warning }.map(\.description) }
    var notes: [String] { filter { $0.severity == .note }.map(\.description) }
}

/// Debian's stock main.cf: /usr/share/postfix/main.cf.debian and main.cf.tls as the package's installation completes them.
let debianMain = """
    # See /usr/share/postfix/main.cf.dist for a commented, more complete version
    # Debian specific:  Specifying a file name will cause the first
    # line of that file to be used as the name.
    #myorigin = /etc/mailname
    smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
    biff = no
    append_dot_mydomain = no
    readme_directory = no
    compatibility_level = 3.6
    smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem
    smtpd_tls_key_file=/etc/ssl/private/ssl-cert-snakeoil.key
    smtpd_tls_security_level=may
    smtp_tls_CApath=/etc/ssl/certs
    smtp_tls_security_level=may
    smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache
    smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
    myhostname = debian.example.com
    alias_maps = hash:/etc/aliases
    alias_database = hash:/etc/aliases
    mydestination = $myhostname, debian, localhost.localdomain, , localhost
    relayhost =\u{20}
    mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
    mailbox_size_limit = 0
    recipient_delimiter = +
    inet_interfaces = all
    inet_protocols = all

    """

/// The active lines of Debian 12's master.cf.
let debianMaster = """
    smtp      inet  n       -       y       -       -       smtpd
    pickup    unix  n       -       y       60      1       pickup
    cleanup   unix  n       -       y       -       0       cleanup
    qmgr      unix  n       -       n       300     1       qmgr
    tlsmgr    unix  -       -       y       1000?   1       tlsmgr
    rewrite   unix  -       -       y       -       -       trivial-rewrite
    bounce    unix  -       -       y       -       0       bounce
    defer     unix  -       -       y       -       0       bounce
    trace     unix  -       -       y       -       0       bounce
    verify    unix  -       -       y       -       1       verify
    flush     unix  n       -       y       1000?   0       flush
    proxymap  unix  -       -       n       -       -       proxymap
    proxywrite unix -       -       n       -       1       proxymap
    smtp      unix  -       -       y       -       -       smtp
    relay     unix  -       -       y       -       -       smtp
            -o syslog_name=postfix/$service_name
    showq     unix  n       -       y       -       -       showq
    error     unix  -       -       y       -       -       error
    retry     unix  -       -       y       -       -       error
    discard   unix  -       -       y       -       -       discard
    local     unix  -       n       n       -       -       local
    virtual   unix  -       n       n       -       -       virtual
    lmtp      unix  -       -       y       -       -       lmtp
    anvil     unix  -       -       y       -       1       anvil
    scache    unix  -       -       y       -       1       scache
    postlog   unix-dgram n  -       n       -       1       postlogd
    maildrop  unix  -       n       n       -       -       pipe
      flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}
    uucp      unix  -       n       n       -       -       pipe
      flags=Fqhu user=uucp argv=uux -r -n -z -a$sender - $nexthop!rmail ($recipient)

    """
