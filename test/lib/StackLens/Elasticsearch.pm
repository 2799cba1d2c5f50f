package StackLens::Elasticsearch;

# A real Elasticsearch, or OpenSearch, of a test's own.
#
#	my $es = StackLens::Elasticsearch->new(dir => $dir, kind => 'elasticsearch');    # or opensearch, opensearch3
#	kind => 'opensearch_security' asks who one is: requests of the test are those of "admin", who may all
#	my $answer = $es->request('GET', '/_cluster/health');
#	$es->stop; $es->start; $es->kill9;

use strict;
use warnings;

use Carp;
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64 ();
use POSIX ();

use StackLens::Cache qw(cached free_port poll_for test_folder);

my $start_timeout = 180;

sub new
{
	my ($class, %options) = @_;
	my $self = bless {
		kind => $options{kind} // 'elasticsearch',
		settings => $options{settings} // {},
		heap => $options{heap} // '512m',
		http => HTTP::Tiny->new(timeout => 60),
	}, $class;
	$self->{dir} = "$options{dir}/$self->{kind}";
	mkdir $self->{dir} or die "$self->{dir}: $!";
	$self->{port} = free_port();
	$self->_configure if $self->{kind} eq 'elasticsearch';
	$self->_secure if $self->{kind} eq 'opensearch_security';
	$self->start;
	return $self;
}

sub _configure
{
	my ($self) = @_;
	my $home = cached('elasticsearch') . '/server';
	my $dir = $self->{dir};
	system('cp', '-r', "$home/config", "$dir/config") == 0 or die;
	mkdir "$dir/tmp";
	$self->{transport} = free_port();
	$self->_write_settings;
	return;
}

my $admin_password = 'Wide-Harbour-4711-moon';

# Certificates for between nodes, and whom the plugin knows at first: admin.
sub _secure
{
	my ($self) = @_;
	my $config = "$self->{dir}/node_1/config";
	my $security = "$config/opensearch-security";
	system('mkdir', '-p', $config) == 0 && system('cp', '-r', cached('opensearch_security') . '/lib/config', $security) == 0 or die;
	system(qq{cd "$config" && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=node -keyout node.key -out node.pem }
		  . q{-addext subjectAltName=IP:127.0.0.1,DNS:localhost -addext extendedKeyUsage=serverAuth,clientAuth 2>/dev/null}) == 0 or die;
	my @java = ($self->java(17), '-cp', $self->_class_path);
	open my $hasher, '-|', @java, qw(org.opensearch.security.tools.Hasher -a BCrypt -r 4 -p), $admin_password or die;
	my ($hash) = map { /^(\$2\S+)$/ ? $1 : () } <$hasher>;
	my %files = (
		internal_users => qq(_meta: { type: internalusers, config_version: 2 }\nadmin: { hash: "$hash", reserved: false, backend_roles: [admin] }\n),
		roles_mapping => qq(_meta: { type: rolesmapping, config_version: 2 }\nall_access: { reserved: false, backend_roles: [admin] }\n),
		config => qq(_meta: { type: config, config_version: 2 }\nconfig: { dynamic: { http: { anonymous_auth_enabled: false }, authc: { basic: { http_enabled: true, order: 0, )
		  . qq(http_authenticator: { type: basic, challenge: true }, authentication_backend: { type: intern } } } } }\n));
	for my $name (keys %files)
	{
		open my $file, '>', "$security/$name.yml" or die;
		print $file $files{$name};
		close $file;
	}
	$self->{settings} = {
		map({ ("plugins.security.ssl.transport.$_->[0]_filepath" => $_->[1]) } [ pemcert => 'node.pem' ], [ pemkey => 'node.key' ], [ pemtrustedcas => 'node.pem' ]),
		'plugins.security.ssl.transport.enforce_hostname_verification' => 'false',
		'plugins.security.ssl.http.enabled' => 'false',
		'plugins.security.authcz.admin_dn' => 'CN=nobody',
		'plugins.security.allow_default_init_securityindex' => 'true',
		'plugins.security.restapi.roles_enabled' => 'all_access',
		'plugins.security.audit.type' => 'noop',
		%{ $self->{settings} } };
	$self->{http} = HTTP::Tiny->new(timeout => 60, default_headers => { authorization => 'Basic ' . MIME::Base64::encode("admin:$admin_password", '') });
	return;
}

sub _class_path
{
	my ($self) = @_;
	return join ':', map { cached($_) . '/lib/*' } $self->{kind} eq 'opensearch_security' ? ('opensearch', 'opensearch_security') : $self->{kind};
}

# Other settings, which need a restart.
sub change
{
	my ($self, %settings) = @_;
	$self->kill9;
	$self->{settings} = { %{ $self->{settings} }, %settings };
	$self->_write_settings if $self->{kind} eq 'elasticsearch';
	return $self->start;
}

sub _write_settings
{
	my ($self) = @_;
	my $dir = $self->{dir};
	open my $file, '>', "$dir/config/elasticsearch.yml" or die;
	print $file <<"YML";
cluster.name: test
discovery.type: single-node
xpack.security.enabled: false
path.data: $dir/data
path.logs: $dir/logs
path.repo: $dir/repo
http.host: 127.0.0.1
http.port: $self->{port}
transport.port: $self->{transport}
cluster.routing.allocation.disk.watermark.low: 1gb
cluster.routing.allocation.disk.watermark.high: 500mb
cluster.routing.allocation.disk.watermark.flood_stage: 200mb
YML
	print $file "$_: $self->{settings}{$_}\n" for sort keys %{ $self->{settings} };
	close $file;
	return;
}

# A Java of at least a version; undef: there is none here. Those of Debian's folder, then that of PATH.
sub java
{
	my (undef, $least) = @_;
	for my $java (sort(glob '/usr/lib/jvm/*/bin/java'), map { "$_/java" } split /:/, $ENV{PATH})
	{
		next unless -x $java;
		my ($version) = `$java -version 2>&1` =~ /version "(\d+)/ or next;
		return $java if $version >= $least;
	}
	return;
}

sub _command
{
	my ($self) = @_;
	my $dir = $self->{dir};
	if ($self->{kind} eq 'elasticsearch')
	{
		my $home = $self->java(17) =~ s{/bin/java$}{}r;
		return (
			'env', "ES_JAVA_HOME=$home", "ES_JAVA_OPTS=-Xms$self->{heap} -Xmx$self->{heap}", "ES_PATH_CONF=$dir/config",
			"ES_TMPDIR=$dir/tmp", cached('elasticsearch') . '/server/bin/elasticsearch');
	}
	return (
		$self->java($self->{kind} eq 'opensearch3' ? 21 : 17), "-Xms$self->{heap}", "-Xmx$self->{heap}", "-Djava.io.tmpdir=$dir", $self->{kind} eq 'opensearch_security' ? '-Dplugin=org.opensearch.security.OpenSearchSecurityPlugin' : (), '-cp', $self->_class_path,
		test_folder() . '/clients/opensearch/Run.java', $dir, $self->{port}, map { "$_=$self->{settings}{$_}" } sort keys %{ $self->{settings} });
}

sub url { return "http://127.0.0.1:$_[0]{port}"; }

sub start
{
	my ($self) = @_;
	my @command = ('setpriv', '--pdeathsig', 'KILL', $self->_command);
	my $pid = fork() // die "fork: $!";
	if (!$pid)
	{
		setpgrp;    # its launcher has a child of its own
		open STDIN, '<', '/dev/null'
		  and open STDOUT, '>>', "$self->{dir}/out"
		  and open STDERR, '>&', \*STDOUT
		  and exec { $command[0] } @command;
		POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	poll_for($self->{kind}, $start_timeout, sub {
		die "$self->{kind} ended while starting: $self->{dir}/out\n" if waitpid($pid, POSIX::WNOHANG()) == $pid;
		my $answer = $self->{http}->get($self->url . '/_cluster/health');
		return $answer->{success} && decode_json($answer->{content})->{status} ne 'red';
	});
	return $self;
}

# kill -9 of it and what it started.
sub kill9
{
	my ($self) = @_;
	my $pid = delete $self->{pid} or return;
	kill 'KILL', -$pid;
	waitpid $pid, 0;
	return;
}

sub stop { goto &kill9; }

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@);
	$self->kill9;
	return;
}

# The decoded answer; dies where it isn't 2xx, unless lenient.
sub request
{
	my ($self, $method, $path, $body, %options) = @_;
	my %content;
	if (defined $body)
	{
		$content{content} = ref $body ? encode_json($body) : $body;
		$content{headers}{'content-type'} = 'application/json';
	}
	my $answer = $self->{http}->request($method, $self->url . $path, \%content);
	croak "$method $path: $answer->{status} $answer->{content}" unless $answer->{success} || $options{lenient};
	return $answer->{content} =~ /^[\[{]/ ? decode_json($answer->{content}) : $answer->{content};
}

# Documents of the indices, after a refresh.
sub count
{
	my ($self, $indices, $query) = @_;
	$indices //= 'stacklens-logs-*';
	$self->request('POST', "/$indices/_refresh?allow_no_indices=true", undef, lenient => 1);
	my $answer = $self->request('GET', "/$indices/_count?allow_no_indices=true", $query ? { query => $query } : undef, lenient => 1);
	return $answer->{count} // 0;
}

# A query's hits, each {_id, _index, _source}.
sub hits
{
	my ($self, $query, $size) = @_;
	return $self->request('POST', '/stacklens-logs-*/_search', { query => $query, size => $size // 100 })->{hits}{hits};
}

1;
