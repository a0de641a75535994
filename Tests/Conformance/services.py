"""The configurations under which random sessions are played: each a service of master.cf with `-o` settings, as for dialogues."""

ACTIONS = " ".join(f"{{ {key}@act.example = {action} }}" for key, action in {
    "ok": "OK", "permit": "PERMIT", "number": "42", "reject": "REJECT", "rejecttext": "REJECT go away <now>", "rejectdsn": "REJECT 5.7.9 not you",
    "defer": "DEFER", "defertext": "DEFER come 4.2.2 again", "ifpermit": "DEFER_IF_PERMIT later", "ifreject": "DEFER_IF_REJECT later",
    "code450": "450 4.3.2 wait", "code550": "550 no", "code521": "521 5.3.2 closed", "code421": "421 4.3.2 closing", "code554": "554 4.1.1 odd status",
    "dunno": "DUNNO", "warn": "WARN look at this", "info": "INFO seen", "discard": "DISCARD quietly", "prepend": "PREPEND X-Prepended: yes",
    "list": "permit_mynetworks, reject", "class": "strangers", "nested": "check_sender_access static:dunno, strangers, reject",
    "warnif": "warn_if_reject, reject", "empty": "reject_unauth_destination", "upper": "Reject In Any Case",
}.items())
ACCESS = f"inline:{{ {ACTIONS} {{ domain.example = 550 5.1.8 domain }} {{ .domain.example = REJECT subdomain }} {{ local@ = REJECT local part }} " \
    "{ <> = 550 5.7.1 null } }"
HELO = "inline:{ { bad.example = REJECT bad helo } { wait.example = 450 4.7.1 wait } { sleepy.example = DEFER_IF_PERMIT sleepy } { good.example = OK } " \
    "{ drop.example = 521 5.7.1 dropped } { odd.example = 554 5.1.1 odd } { helolist.example = warn_if_reject, reject } }"
CHECKS = "reject_non_fqdn_helo_hostname, reject_invalid_helo_hostname"


class Service:
    """`words`: what the generator uses more often here; `settings` are the `-o` lines."""

    def __init__(self, name, words=(), **settings):
        self.name, self.words = name, set(words)
        self.parameters = {"smtpd_error_sleep_time": "0", **settings}

    def __getitem__(self, parameter):
        return self.parameters.get(parameter)


SERVICES = [
    Service("defaults"),
    Service("pipelining", ["flights"], smtpd_forbid_unauth_pipelining="no", smtpd_forbid_bare_newline="no"),
    Service("strict", ["addresses"], strict_rfc821_envelopes="yes", strict_smtputf8="yes", smtpd_forbid_unauth_pipelining="no"),
    Service("helo", ["helo", "access"], smtpd_helo_required="yes", smtpd_helo_restrictions=f"check_helo_access {HELO}, {CHECKS}",
            smtpd_sender_restrictions=f"reject_non_fqdn_sender, check_sender_access {ACCESS}",
            smtpd_recipient_restrictions=f"reject_non_fqdn_recipient, check_recipient_access {ACCESS}",
            smtpd_data_restrictions="reject_multi_recipient_bounce", strangers="reject", smtpd_restriction_classes="strangers"),
    Service("eager", ["helo", "access"], smtpd_delay_reject="no", smtpd_helo_restrictions=f"check_helo_access {HELO}, {CHECKS}",
            smtpd_sender_restrictions=f"reject_non_fqdn_sender, check_sender_access {ACCESS}",
            smtpd_recipient_restrictions=f"check_recipient_access {ACCESS}, reject_unauth_destination", strangers="permit_mynetworks",
            smtpd_restriction_classes="strangers"),
    Service("soft", ["access"], soft_bounce="yes", smtpd_forbid_bare_newline="no", smtpd_forbid_unauth_pipelining="no",
            smtpd_recipient_restrictions=f"check_recipient_access {ACCESS}, reject_non_fqdn_recipient", strangers="reject_unlisted_recipient, permit",
            smtpd_restriction_classes="strangers"),
    Service("discard", ["verbs"], smtpd_discard_ehlo_keywords="dsn, chunking, pipelining, etrn", smtpd_noop_commands="wizard debug etrn",
            smtpd_forbidden_commands="CONNECT GET POST expn", disable_vrfy_command="yes"),
    Service("small", ["limits"], smtpd_recipient_limit="3", smtpd_recipient_overshoot_limit="2", smtpd_hard_error_limit="6",
            smtpd_soft_error_limit="2", smtpd_junk_command_limit="4", message_size_limit="1500", mailbox_size_limit="0", line_length_limit="512",
            hopcount_limit="3", header_size_limit="400", smtpd_forbid_unauth_pipelining="no"),
    Service("ascii", ["addresses"], smtputf8_enable="no", smtpd_forbid_unauth_pipelining="no", local_header_rewrite_clients="static:all"),
    Service("peers", ["peers"], smtpd_authorized_xclient_hosts="127.0.0.0/8", smtpd_authorized_xforward_hosts="127.0.0.0/8",
            smtpd_authorized_verp_clients="127.0.0.0/8", smtpd_relay_restrictions="permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"),
    Service("footer", ["access"], smtpd_reject_footer=r"\c. See http://help.example/$client_address",
            smtpd_recipient_restrictions=f"check_recipient_access {ACCESS}, reject_unauth_destination", mynetworks="10.0.0.0/8", strangers="reject",
            smtpd_restriction_classes="strangers", reject_code="570", access_map_reject_code="571", relay_domains_reject_code="572"),
    Service("rewriting", ["addresses", "headers"], local_header_rewrite_clients="static:all", recipient_delimiter="+-", masquerade_domains="test.example",
            canonical_maps="inline:{ { canon@d.example = new@other.example } { @old.example = @new.example } { bare = full@d.example } }",
            virtual_alias_maps="inline:{ { many@d.example = one@e.example, two@e.example } { @alias.example = all@e.example } { ext@d.example = base@e.example } }",
            propagate_unmatched_extensions="canonical, virtual", append_dot_mydomain="yes", myorigin="origin.example",
            smtpd_relay_restrictions="permit_mynetworks, reject"),
    Service("literal", ["addresses"], swap_bangpath="no", allow_percent_hack="no", resolve_numeric_domain="yes", relay_domains="relay.example",
            mynetworks="10.0.0.0/8", smtpd_relay_restrictions="reject_unauth_destination"),
    Service("relay", ["addresses"], mynetworks="10.0.0.0/8", relay_domains="relay.example, b.example", append_at_myorigin="yes",
            smtpd_relay_restrictions="reject_unauth_destination"),
    Service("sasl", ["auth"], smtpd_sasl_auth_enable="yes", broken_sasl_auth_clients="yes", smtpd_sasl_authenticated_header="yes",
            mynetworks="10.0.0.0/8", smtpd_relay_restrictions="permit_sasl_authenticated, reject",
            smtpd_sender_login_maps="inline:{ { alice@d.example = alice } { bob@d.example = bob } }", smtpd_sender_restrictions="reject_sender_login_mismatch"),
    Service("tls", ["auth", "tls"], smtpd_tls_security_level="may", smtpd_sasl_auth_enable="yes", smtpd_tls_auth_only="yes",
            smtpd_tls_received_header="yes"),
    Service("bare", ["content"], smtpd_forbid_bare_newline="reject", smtpd_forbid_unauth_pipelining="no"),
    Service("classes", ["access"], smtpd_restriction_classes="strangers, friends", strangers="warn_if_reject reject_unauth_destination, reject",
            friends="permit_auth_destination, warn_if_reject reject_unauth_destination", smtpd_client_restrictions="warn_if_reject reject_plaintext_session",
            smtpd_sender_restrictions=f"check_sender_access {ACCESS}", smtpd_recipient_restrictions=f"check_recipient_access {ACCESS}, friends",
            smtpd_data_restrictions=f"check_recipient_access {ACCESS}, check_sender_access {ACCESS}",
            smtpd_end_of_data_restrictions=f"check_sender_access {ACCESS}, check_helo_access {HELO}",
            smtpd_etrn_restrictions="check_etrn_access inline:{ { d.example = REJECT no etrn } { e.example = 450 4.0.0 later } }, permit_mynetworks, reject"),
]
