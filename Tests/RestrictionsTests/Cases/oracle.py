#!/usr/bin/env python3
"""Runs the cases of *.cases against the installed Postfix and writes each answer behind ` => `.

    oracle.py check|write [--dir DIR] [--port FIRST] FILE...

A throw-away instance (as root, loopback only) listens on one port for each configuration of the file; XCLIENT plays the client.
`check` compares with what stands in the file, `write` replaces it.
"""
import argparse, os, re, socket, subprocess, sys, tempfile, time

MAIN = dict(
    myhostname='mx.test.example', inet_interfaces='127.0.0.1', compatibility_level='3.6', default_transport='discard:',
    local_transport='discard:', relay_transport='discard:', virtual_transport='discard:', smtpd_authorized_xclient_hosts='127.0.0.1',
    alias_maps='', alias_database='', smtpd_client_connection_count_limit='0', smtpd_hard_error_limit='1000',
    smtpd_error_sleep_time='0', smtpd_peername_lookup='no', inet_protocols='ipv4')
WORD = re.compile(r'(\w+)=((?:"[^"]*"|\S)*)')

def parse(path):
    globals_, sections = {}, []
    for number, line in enumerate(open(path).read().split('\n')):
        if not line.strip() or line.startswith('#'): continue
        if line.startswith('!'):
            name, value = line[1:].split('=', 1); globals_[name.strip()] = value.strip()
        elif line.startswith('['): sections.append(dict(conf={}, cases=[]))
        elif line.startswith(' '):
            case, _, expected = line.strip().partition(' => ')
            sections[-1]['cases'].append((number, case, expected))
        else:
            name, value = line.split('=', 1); sections[-1]['conf'][name.strip()] = value.strip()
    return globals_, sections

def configure(base, first, globals_, sections):
    if os.path.isdir(base): os.chmod(base, 0o755)
    for d in ('conf', 'queue', 'data', 'queue/pid'): os.makedirs(f'{base}/{d}', exist_ok=True)
    subprocess.run(['chown', 'postfix', base + '/data'], check=True)
    main = dict(MAIN, queue_directory=base + '/queue', data_directory=base + '/data', maillog_file=base + '/log', maillog_file_prefixes=base)
    main.update(globals_)
    open(base + '/conf/main.cf', 'w').write(''.join(f'{k} = {v}\n' for k, v in main.items()))
    out = []
    for line in open('/usr/share/postfix/master.cf.dist'):
        fields = line.split()
        if line.startswith(('#', ' ', '\t')) or len(fields) < 8 or fields[1] == 'inet': continue
        fields[4] = 'n'; out.append(' '.join(fields))
    for i, section in enumerate(sections):
        out.append(f'127.0.0.1:{first + i} inet n - n - - smtpd')
        out += [f'  -o {{ {k} = {v} }}' for k, v in section['conf'].items()]
    open(base + '/conf/master.cf', 'w').write('\n'.join(out) + '\n')

class Session:
    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=8)
        self.file = self.socket.makefile("rb"); self.greeting = self.reply()
    def reply(self):
        lines = []
        while True:
            try: line = self.file.readline().decode('utf8', 'replace').rstrip('\r\n')
            except TimeoutError: return 'EOF'
            if not line: return 'EOF'
            lines.append(line)
            if line[3:4] != '-': return ' / '.join(lines)
    def command(self, text):
        self.socket.sendall(text.encode() + b'\r\n'); return self.reply()

def ask(port, case):
    words = WORD.findall(case); facts = dict(words)
    session = Session(port)
    try:
        name = facts.get('name', '[UNAVAILABLE]')
        xclient = f'XCLIENT ADDR={facts.get("client", "192.0.2.1")} NAME={name} REVERSE_NAME={facts.get("reverse", name)}'
        if 'login' in facts: xclient += f' LOGIN={facts["login"]}'
        if session.greeting == "EOF": return "EOF"
        reply = session.command(xclient)
        if not reply.startswith('220'): return reply
        reply = session.command('EHLO ' + facts.get('helo', 'helo.example'))
        if not reply.startswith('250'): return reply
        reply = session.command(f'MAIL FROM:<{facts.get("from", "s@sender.example")}>')
        if not reply.startswith('250'): return reply
        for recipient in [v for k, v in words if k == 'to']: reply = session.command(f'RCPT TO:<{recipient}>')
        return 'ok' if reply.startswith('250') else reply
    finally: session.socket.close()

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('mode', choices=['check', 'write']); parser.add_argument('--dir', default=tempfile.mkdtemp())
    parser.add_argument('--port', type=int, default=21000); parser.add_argument('files', nargs='+')
    options = parser.parse_args(); wrong = 0
    for path in options.files:
        globals_, sections = parse(path)
        configure(options.dir, options.port, globals_, sections)
        subprocess.run(['postfix', '-c', options.dir + '/conf', 'start'], check=True, capture_output=True)
        try:
            time.sleep(1); lines = open(path).read().split('\n')
            for i, section in enumerate(sections):
                for number, case, expected in section['cases']:
                    answer = ask(options.port + i, case)
                    lines[number] = f' {case} => {answer}'
                    if options.mode == 'check' and answer != expected:
                        wrong += 1; print(f'{path}:{number + 1}: {case}\n   file: {expected}\nPostfix: {answer}')
            if options.mode == 'write': open(path, 'w').write('\n'.join(lines))
        finally: subprocess.run(['postfix', '-c', options.dir + '/conf', 'stop'], capture_output=True)
    sys.exit(1 if wrong else 0)

main()
