"""Words of random sessions: addresses, parameters, names, valid and broken. Everything is bytes, as on the wire."""

LOCALS = [b"a", b"user", b"Postmaster", b"abuse", b"a.b", b".a", b"a.", b"a..b", b"a+ext", b"a-ext", b"ext+more", b"canon", b"canon+x", b"bare", b"many",
          b'"quoted"', b'"quo ted"', b'"q\\"x"', b'"a@b"', b'"a\\\\b"', b'""', b'"a"b', b'a"b"', b'"a".b', b'"a."', b'"-a"', b'"a!b"', b'"a%b.example"',
          b"x!a", b"mx.test.example!a", b"x!y!a", b"a%b.example", b"a%b%c.example", b"a%mx.test.example", b"!a", b"a!", b"%a", b"a%", b"a%[10.0.0.1]",
          "ü".encode(), "用户".encode(), b"-a", b"a/b", b"|cmd", b"a=b", b"{a}", b"#a", b"a\\b", b"a\\@b", b"\\a", b"a'b", b"`a`", b"*", b"~a", b"$a", b"&",
          b"a" * 64, b"a" * 65, b"a" * 300, b"owner-list", b"list-request", b"A", b"UPPER", b"alice", b"bob", b"MAILER-DAEMON", b"double-bounce"]
RARE_LOCALS = [b"a b", b"a\tb", b"a,b", b"a;b", b"a:b", b"a(c)", b"(c)a", b"a(c", b"a)", b"a\x01b", b"a\x7fb", b"\xff", b"a[b", b"a]b", b'"a', b'a"', b"a<b", b"a>b",
               b"\\", b'"\\', b'"a\tb"', b"a@b", b"@", b"a .b", b". a", b'"a\x01"', b"\xc3", b"\xe2\x80\x8b", b'"a" b', b" a ", b"\\ ", b'"a"@', b"=?utf-8?q?a?="]
DOMAINS = [b"d.example"] * 6 + [b"mx.test.example"] * 3 + [b"localhost", b"host", b"relay.example", b"sub.relay.example", b"b.example", b"act.example", b"domain.example",
           b"old.example", b"alias.example", b"e.example", b"sub.test.example", b"test.example", b"localhost.test.example", b"D.EXAMPLE", b"MX.TEST.example",
           b"[127.0.0.1]", b"[10.1.2.3]", b"[IPv6:2001:db8::1]", b"[ipv6:2001:db8::1]", b"[IPv6:::1]", b"[::1]", b"[127.0.0.1]."]
RARE_DOMAINS = [b"[1.2.3]", b"[256.1.1.1]", b"[nonsense]", b"[]", b"[127.0.0.1", b"127.0.0.1]", b"127.0.0.1", b"10.1.2.3", b"1.2.3", b"d.example.", b"d.example..", b".d.example",
                b"d..example", b"-d.example", b"d-.example", b"d_e.example", b"_d.example", b"exa mple", b"d.example ", b" d.example", "bücher.example".encode(),
                b"xn--bcher-kva.example", b"xn--", b"a" * 63 + b".example", b"a" * 64 + b".example", b"a." * 130 + b"example", b"#123", b"[#]", b"", b".", b"..",
                b"d.example(c)", b"(c)d.example", b"d.(c)example", b"d\\.example", b'"d.example"', b"d,e", b"d;e", b"d:e", b"::1", b"2001:db8::1", b"d/e", b"d%e", b"d!e",
                b"[127.0.0.1]x", b"x[127.0.0.1]", b"[127.0.0.1][127.0.0.1]", b"[ 127.0.0.1 ]", b"[127.0.0.1\\]", b"[IPv6:fe80::1%eth0]", b"[IPv6:1.2.3.4]",
                b"[IPv6:::ffff:127.0.0.1]", b"\xff.example", b"d\x01.example", b"1", b"123.456", b"d.example,e.example", b"*", b"d.*", b"mx.test.example.", b"host.",
                "straße.example".encode(), "ｄ.example".encode(), "用户.example".encode(), b"a@mx.test.example"]
FORMS = [b"<%s>"] * 12 + [b"%s", b" <%s>", b"<%s> ", b"\t<%s>"]
RARE_FORMS = [b"< %s >", b"<%s", b"%s>", b"<<%s>>", b"Name <%s>", b'"Na me" <%s>', b"Two Names <%s>", b"<%s> (comment)", b"(comment) <%s>", b"(comment)<%s>", b"<(c)%s>",
              b"<%s(c)>", b"<@r.example:%s>", b"<@r.example,@s.example:%s>", b"<@r.example: %s>", b"<@r.example>", b"<@r.example:>", b"<@:%s>", b"<:%s>", b"<%s:>",
              b"@r.example:%s", b"<@[127.0.0.1]:%s>", b"<@r:@s:%s>", b"<@r.example;%s>", b"<%s,x@y.example>", b"<%s;>", b"group:%s;", b"<group:%s;>", b"<%s> <x@y.example>",
              b"<>", b"", b"< >", b"<\t>", b"<<>>", b"<()>", b"<\"\">", b"<@>", b"<,>", b"<;>", b"<:>", b"<.>", b"<\\>", b"\\<%s\\>", b"'<%s>'", b"\"<%s>\"", b"<%s\\>", b"\"%s\"",
              b"%s (c", b"(c %s", b"[%s]", b"<[%s]>", b"%s %s2", b"<%s >", b"< %s>", b"<%s.>", b"<.%s>", b"<%s@>", b"<@%s>", b"<mailto:%s>", b"<%s,>", b"<,%s>"]

MAIL_PARAMETERS = [b"SIZE=0", b"SIZE=100", b"SIZE=1499", b"SIZE=1501", b"size=7", b"BODY=7BIT", b"BODY=8BITMIME", b"body=8bitmime", b"SMTPUTF8", b"smtputf8", b"RET=FULL",
                   b"RET=HDRS", b"ret=hdrs", b"ENVID=abc", b"ENVID=a+20b", b"ENVID=QQ314159", b"AUTH=<>", b"AUTH=a@b.example", b"AUTH=a+40b.example", b"XVERP", b"XVERP=+=", b"xverp=-+"]
RARE_MAIL_PARAMETERS = [b"SIZE=99999999", b"SIZE=", b"SIZE", b"SIZE=abc", b"SIZE=-1", b"SIZE=+5", b"SIZE=1e3", b"SIZE=0x10", b"SIZE=99999999999999999999999", b"SIZE=9223372036854775807",
                        b"SIZE=9223372036854775808", b"SIZE=007", b"SIZE=1 ", b"SIZE==1", b"BODY=BINARYMIME", b"BODY=", b"BODY", b"BODY=8BIT", b"SMTPUTF8=", b"SMTPUTF8=1", b"RET=X", b"RET=", b"RET",
                        b"RET=FULLHDRS", b"ENVID=", b"ENVID", b"ENVID=+ZZ", b"ENVID=+2", b"ENVID=+", b"ENVID=+00", b"ENVID=+7F", b"ENVID=+0A", b"ENVID=+FF", b"ENVID=+c3+bc", b"ENVID=a=b", b"ENVID=" + b"e" * 100,
                        b"ENVID=" + b"e" * 101, b"ENVID=" + b"+41" * 101, "ENVID=ü".encode(), b"ENVID=+2B", b"ENVID=+2b", b"ENVID=\"a", b"ENVID=\"a b\"", b"ENVID=(c)", b"ENVID=<x>", b"AUTH=", b"AUTH", b"AUTH=+ZZ", b"AUTH=<",
                        b"AUTH=+3C+3E", b"AUTH=" + b"a" * 300, b"auth=x", b"XVERP=", b"XVERP=+", b"XVERP=abc", b"XVERP=ab", b"XVERP===", b"XVERP==+", b"REQUIRETLS", b"MT-PRIORITY=3", b"BY=100;R",
                        b"HOLDFOR=10", b"FOO", b"FOO=BAR", b"=", b"==", b"x=y=z", b"\"", b"\"a b\"", b"<", b"<x y>", b"<a b", b">", b"(c)", b"from:", b"to:", b"FROM:<a@b>", b"RET=FULL;", b"NOTIFY=NEVER",
                        b"ORCPT=rfc822;a@b", b"\x01", b"a\x7fb", "FÜ=1".encode(), b"\xff", b":", b"x:", b":x", b"TRANSID=<1@x>", b"SOLICIT=a", b"SMTPUTF8,", b"%s%n", b"$mail_name"]
RCPT_PARAMETERS = [b"NOTIFY=NEVER", b"NOTIFY=SUCCESS", b"NOTIFY=FAILURE", b"NOTIFY=DELAY", b"NOTIFY=SUCCESS,FAILURE", b"NOTIFY=FAILURE,DELAY", b"NOTIFY=success,Failure,delay",
                   b"notify=never", b"ORCPT=rfc822;a@b.example", b"ORCPT=rfc822;a+40b.example", b"orcpt=RFC822;x", b"ORCPT=utf-8;a@b.example", b"ORCPT=x400;foo"]
RARE_RCPT_PARAMETERS = [b"NOTIFY=NEVER,SUCCESS", b"NOTIFY=SUCCESS,NEVER", b"NOTIFY=SUCCESS,SUCCESS", b"NOTIFY=", b"NOTIFY", b"NOTIFY=,", b"NOTIFY=FAILURE,", b"NOTIFY=,FAILURE", b"NOTIFY=BAD",
                        b"NOTIFY=FAILURE DELAY", b"NOTIFY=NEVER,NEVER", b"ORCPT=", b"ORCPT", b"ORCPT=rfc822", b"ORCPT=rfc822;", b"ORCPT=;a", b"ORCPT=;", b"ORCPT=rfc822;+ZZ", b"ORCPT=rfc822;+",
                        b"ORCPT=rfc822;+00", b"ORCPT=rfc822;+0Ax", b"ORCPT=rfc822;+FF", b"ORCPT=rfc822;+c3+bc", "ORCPT=rfc822;ü@x".encode(), "ORCPT=utf-8;ü@x".encode(),
                        b"ORCPT=utf-8;\\x{FC}@x", b"ORCPT=utf-8;\\x{110000}@x", b"ORCPT=utf-8;\\x{D800}", b"ORCPT=utf-8;\\x{0}", b"ORCPT=utf-8;\\x{}", b"ORCPT=utf-8;\\x{41}", b"ORCPT=utf-8;a\\b", b"ORCPT=utf-8;a+40b",
                        b"ORCPT=UTF-8;\\x{20AC}", b"ORCPT=utf-8;", b"ORCPT=rfc822;a;b", b"ORCPT=rfc822; a", b"ORCPT=rfc 822;a", b"ORCPT=\"rfc822;a b\"", b"ORCPT=rfc822;\"a b\"", b"ORCPT=rfc822;<a@b>", b"ORCPT=rfc822;a=b",
                        b"ORCPT=rfc822;" + b"a" * 500, b"ORCPT=rfc822;" + b"a" * 480, b"ORCPT=rfc822;(c)", b"ORCPT=(c);x", b"ORCPT=+41;x", b"ORCPT=a+;x", "ORCPT=ü;x".encode(), b"ORCPT=rfc822;x\x01", b"ORCPT=rfc822;+2B+20", b"SIZE=1",
                        b"BODY=8BITMIME", b"SMTPUTF8", b"FOO", b"FOO=", b"=x", b"<x", b"\"x", b"RET=FULL", b"ENVID=x", b"RRVS=2014-04-03", b"to:", b"\x7f", b"\xfe"]

HELO_NAMES = [b"client.example"] * 8 + [b"good.example", b"bad.example", b"wait.example", b"sleepy.example", b"[127.0.0.1]", b"[IPv6:2001:db8::1]", b"[::1]", b"host", b"CLIENT.Example",
              b"a b c", b"<x>", b"\"x\"", b"(x)", b"a;b", b"a@b", b"a\\b", b"client.example.", b".client.example", b"-x.example", b"a..b", b"1.2.3.4", b"1", b"#x", b"_x.example", b"[x]", b"[1.2.3]",
              b"[127.0.0.1", b"x" * 64, b"x" * 300, "bücher.example".encode(), b"\xff", b"a\x01b", b"a\tb", b"", b" ", b"drop.example", b"odd.example", b"helolist.example", b"EHLO", b"<", b"\"", b"a\"b c", b"mx.test.example", b"localhost",
              b"x=y", b"a:b", b"%s", b"*", b"a,b", b"{x}", b"a/b", b"~", b"'", b"&lt;"]

UNKNOWN = [b"EXPN x", b"TURN", b"SAML FROM:<a@b>", b"SEND FROM:<a@b>", b"SOML", b"HELP", b"HELP MAIL", b"FOO", b"FOO BAR", b"WIZARD", b"DEBUG", b"ehlonot", b"MAILFROM:<a@b>", b"RCPTTO:<a@b>", b"E",
           b"", b" ", b"\t", b"\"", b"<", b"\"NOOP\"", b"<NOOP>", b"NO OP", b"QUI", b"QUITT", b"DATA.", b"BURL imap://x", b"ATRN", b"VERB", b"ONEX", b"ETRNX d", b"STARTTLSX", b"MAIL:", b"RCPT:"]
RARE_UNKNOWN = [b"GET / HTTP/1.0", b"POST / HTTP/1.1", b"CONNECT x:25", b"Subject: hello", b"From: x", b"X-Y:", b"1", b".", b"..", b"-", b"*", b"\x80", b"\xc3\xbc", "ÜBER".encode(), b"\x00", b"\x01NOOP", b"NOOP\x00",
                b"NOOP\x01", b"\x16\x03\x01", b"(c)", b"(c) NOOP", b"@", b"to:", b"from:", b"a:", b"a::", b"MAIL\x00FROM:<a@b>", b"\xef\xbb\xbfEHLO x", b"NOOP\x0b", b"\x0cNOOP", b"\\NOOP", b"[NOOP]", b"{"]

ETRN = [b"d.example", b"mx.test.example", b"relay.example", b"e.example", b"@d.example", b"#queue", b"", b"d.example x", b"[127.0.0.1]", b"[IPv6:::1]", b"-x", b"a..b", b"host", b"d.example.", b"1.2.3.4", b"<d.example>",
        "bücher.example".encode(), b"\"d.example\"", b"@", b"#", b"d_e.example", b"a" * 300, b"D.EXAMPLE", b"!", b"[x]", b"::1"]

XCLIENT = [b"NAME=foo.example", b"NAME=[UNAVAILABLE]", b"NAME=[TEMPUNAVAIL]", b"ADDR=10.1.2.3", b"ADDR=IPV6:2001:db8::1", b"ADDR=ipv6:2001:db8::2", b"ADDR=[UNAVAILABLE]", b"PORT=2525", b"PORT=[UNAVAILABLE]",
           b"PROTO=SMTP", b"PROTO=ESMTP", b"HELO=helo.example", b"HELO=[UNAVAILABLE]", b"LOGIN=bob", b"LOGIN=[UNAVAILABLE]", b"DESTADDR=10.9.9.9", b"DESTPORT=587", b"REVERSE_NAME=rev.example",
           b"REVERSE_NAME=[UNAVAILABLE]", b"name=low.example", b"NAME=foo.example ADDR=10.2.3.4", b"ADDR=10.3.4.5 NAME=bar.example HELO=bar PROTO=ESMTP LOGIN=al+20ice"]
RARE_XCLIENT = [b"NAME", b"NAME=", b"=x", b"NAME=-bad", b"NAME=1.2.3.4", b"NAME=a..b", b"ADDR=1.2.3", b"ADDR=::1", b"ADDR=IPV6:", b"ADDR=IPV6:x", b"ADDR=[10.1.2.3]", b"ADDR=", b"ADDR=300.1.1.1", b"PORT=x", b"PORT=", b"PORT=99999", b"PORT=-1",
                b"PROTO=LMTP", b"PROTO=smtp", b"PROTO=", b"PROTO=[UNAVAILABLE]", b"HELO=a+20b", b"HELO=+ZZ", b"HELO=<x>", b"HELO=", b"LOGIN=", b"LOGIN=+C3+BC", b"LOGIN=a+0Ab", b"LOGIN=(x", b"LOGIN=" + b"l" * 255, b"LOGIN=" + b"l" * 256, b"DESTADDR=x",
                b"DESTPORT=x", b"DESTADDR=[UNAVAILABLE]", b"FOO=bar", b"NAME=foo.example FOO=bar", b"", b"NAME=foo.example NAME=bar.example", b"REVERSE_NAME=", b"REVERSE_NAME=-x", b"SOURCE=LOCAL", b"IDENT=x", b"NAME=\"a b\"",
                b"LOGIN=a=b", b"NAME=[unavailable]", b"ADDR=+31+30.1.2.3", "NAME=ü.example".encode(), b"HELO=" + b"h" * 300, b"NAME=" + b"n" * 64, b"ADDR=IPV6:fe80::1", b"ADDR=IPV6:::ffff:10.1.2.3", b"ADDR=IPV6:10.1.2.3"]
XFORWARD = [b"NAME=foo.example", b"NAME=[UNAVAILABLE]", b"ADDR=10.1.2.3", b"ADDR=IPV6:2001:db8::1", b"ADDR=[UNAVAILABLE]", b"PORT=2525", b"PROTO=ESMTP", b"PROTO=SMTP", b"PROTO=foo", b"HELO=helo.example", b"SOURCE=LOCAL", b"SOURCE=REMOTE",
            b"IDENT=1234", b"IDENT=[UNAVAILABLE]", b"NAME=a.example ADDR=10.4.5.6 PROTO=ESMTP HELO=h SOURCE=REMOTE PORT=25 IDENT=ABC"]
RARE_XFORWARD = [b"SOURCE=x", b"SOURCE=", b"SOURCE=local", b"IDENT=", b"IDENT=+0A", b"IDENT=" + b"i" * 256, b"LOGIN=bob", b"NAME=", b"NAME=-bad", b"ADDR=1.2.3", b"PORT=x", b"PROTO=", b"PROTO=a+20b", b"HELO=+ZZ", b"HELO=a b", b"", b"FOO", b"FOO=1",
                 b"SOURCE=[UNAVAILABLE]", b"PROTO=[UNAVAILABLE]", b"HELO=(x", b"PORT=[UNAVAILABLE]", b"NAME=[TEMPUNAVAIL]", "HELO=ü".encode(), b"PROTO=" + b"p" * 100, b"PROTO=" + b"p" * 65]

HEADERS = [b"From: a@d.example", b"From: Alice <a@d.example>", b"From: bare", b"From: \"A. B\" <a@host>", b"To: b@d.example", b"To: x, y@e.example, \"Z\" <z>", b"Cc: c@mx.test.example", b"Bcc: hidden@d.example", b"Subject: hello",
           "Subject: hällo".encode(), b"Subject: folded\r\n over two", b"Subject:", b"Message-Id: <1@client.example>", b"Message-ID:   <2@x>  ", b"Message-Id: broken", b"Date: Fri, 21 Nov 2025 00:00:00 +0000", b"Return-Path: <r@d.example>",
           b"Content-Length: 5", b"Reply-To: r", b"Sender: s@sub.test.example", b"Resent-From: r@d.example", b"Resent-To: t", b"Resent-Message-Id: <3@x>", b"Resent-Bcc: b@d.example", b"Received: from x by y; now", b"Received: again",
           b"MIME-Version: 1.0", b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: 8bit", b"X-Long: " + b"l" * 900, b"Delivered-To: x@y", b"X-Empty:", b"Errors-To: e", b"Disposition-Notification-To: n@host"]
RARE_HEADERS = [b"Foo : x", b": x", b"Foo bar", b"From: canon@d.example, many@d.example, u@old.example", b"To: a@host, (comment) b@host (c)", b"To: undisclosed-recipients:;", b"To: group: a, b@host;, c", b"To: <@r.example:a@host>", b"To: a!b, c%d",
                b"From: =?utf-8?q?x?= <y>", b"To: <unclosed", b"To: \"unclosed", b"X: \x00nul", b"X: \r cr", b"X: tab\t", b"From: ", b"To: ,,,", b"From:a@host", b"FROM: a", b"from: user@sub.test.example", b"Message-Id:", b"Message-Id: <a b>",
                b"Message-Id: <x>\r\nMessage-Id: <y>", b"Subject: x\r\n\ty\r\n z", "Fröm: x".encode(), b"X-Long: " + b"l" * 3000, b"To: " + b", ".join([b"u%d@host" % i for i in range(60)]), b"Resent-Date: x", b">From x", b"\tleading"]
BODIES = [b"text", b"", b"..two dots", b".one", b"8-bit \xe4\xf6", "utf-8 ü".encode(), b"From the start", b" blank first", b"cr\rinside", b"tab\there", b"trailing ", b"From ", b"x: y", b"--b", b"MAIL FROM:<x@y.example>", b"\x7f\x1b[0m"]
RARE_BODIES = [b"nul\x00nul", b"l" * 500, b"l" * 511, b"l" * 512, b"l" * 1000, b"l" * 2047, b"l" * 2048, b"l" * 2049, b"l" * 5000, b"\r", b"\r\r", b"x\r\r", b"." * 50, b"\x00", b".\x00", b"\xff\xfe"]
