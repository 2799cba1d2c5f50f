package StackLens::Kafka;

# A real Kafka broker (KRaft, one node) for a test.
#
#	my $kafka = StackLens::Kafka->new(dir => $tmp);
#	$kafka->create_topic('logs', partitions => 4);
#	$kafka->produce('logs', [ '{"message":"a"}', ... ]);
#	$kafka->kill9; $kafka->start;
#
# Everything it writes is in dir; it ends with the object, or with the test's process.

use strict;
use warnings;

use Carp qw(croak);
use File::Path qw(make_path);
use File::Temp ();
use IPC::Run ();
use POSIX qw(WNOHANG);
use Time::HiRes qw(time);

use StackLens::Cache qw(test_folder cache cached free_port poll_for);

# Starting, at worst on a busy machine. Normally 3 s.
my $start_timeout = 90;

# The command line tools live for a second: no time to optimise. UsePerfData would write to /tmp.
my @tool_jvm = qw(-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData
  -Dorg.slf4j.simpleLogger.defaultLogLevel=error);

# Options: dir (a folder that exists); properties => { name => value } beside or instead of our own;
# listeners => { NAME => 'SASL_PLAINTEXT' } for more than the plain one (listener('NAME') is its address);
# advertised => { NAME => 'host:port' } (where clients of a listener are sent, if not to it); of a cluster's broker
# (StackLens::KafkaCluster): node => its number, controllers => [ the ports of all, by number ];
# scram => { user => 'password' }; part => 'kafka3' for the older broker of test/deps/fetch.sh; heap => ['-Xms256m', '-Xmx512m']; jvm => other flags; start => 0 to only format it.
sub new
{
	my ($class, %options) = @_;
	my $part = $options{part} // 'kafka';
	my $self = bless {
		dir => ($options{dir} // croak 'dir is missing') . "/$part",
		heap => $options{heap} // [ '-Xms256m', '-Xmx512m' ],
		properties => $options{properties} // {},
		listeners => $options{listeners} // {},
		advertised => $options{advertised} // {},
		node => $options{node} // 1,
		controllers => $options{controllers},
		scram => $options{scram} // {},
		jvm => $options{jvm} // [],
		jars => join(':', sort glob cached($part) . '/lib/*.jar'),
		# The classes as the JVM keeps them in memory (test/deps/kafka_archive.pl): a start takes half the
		# time. A JVM that the archive doesn't fit, or that finds none, says nothing and does without.
		archive => cached($part) . '/classes.jsa',
		owner => $$,
	}, $class;
	$self->{log} = "$self->{dir}/kafka.log";
	$self->_build_tool;

	# Another process may take a port between our look and the broker's: then choose anew.
	for my $try (1 .. 3)
	{
		$self->_format;
		return $self if defined $options{start} && !$options{start};
		return $self if eval { $self->start; 1 };
		my $error = $@;
		die $error if $try == 3 || $self->log_text !~ /Address already in use/;
	}
}

sub bootstrap { return "127.0.0.1:$_[0]{port}"; }
sub listener { my ($self, $name) = @_; return "127.0.0.1:$self->{ports}{$name}"; }
sub port { return $_[0]{port}; }
sub pid { return $_[0]{pid}; }
sub log_file { return $_[0]{log}; }

# What the broker has said so far.
sub log_text
{
	my ($self) = @_;
	open my $file, '<', $self->{log} or return '';
	local $/;
	return scalar <$file> // '';
}

# --- the broker's life ---

# Returns when the broker answers.
sub start { my ($self) = @_; return $self->launch->wait_for_start; }

sub launch
{
	my ($self) = @_;
	croak 'the broker runs already' if $self->{pid};
	my @command = (
		'setpriv', '--pdeathsig', 'KILL',    # a test that is killed leaves no broker behind
		'java', @{ $self->{heap} }, $self->_archive, @{ $self->{jvm} }, '-XX:+UseSerialGC', '-XX:-UsePerfData',
		"-Djava.io.tmpdir=$self->{dir}",
		'-Dorg.slf4j.simpleLogger.showDateTime=true',
		'-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS',
		'-cp', $self->{jars}, 'kafka.Kafka', "$self->{dir}/server.properties");
	my $pid = fork() // die "fork: $!";
	if (!$pid)
	{
		# POSIX::_exit: the child must run none of the test's END blocks and destructors.
		open STDIN, '<', '/dev/null'
		  and open STDOUT, '>>', $self->{log}
		  and open STDERR, '>&', \*STDOUT
		  and exec { $command[0] } @command;
		POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	return $self;
}

sub wait_for_start
{
	my ($self) = @_;
	my $up = eval {
		poll_for(
			'the Kafka broker',
			$start_timeout,
			sub {
				die "the Kafka broker ended while starting\n" if $self->_reap;
				my ($status) = $self->_tool('ping', '--timeout', 500);
				return $status == 0;
			});
	};
	if (!$up)
	{
		my $error = $@;
		$self->kill9 if $self->{pid};
		my @lines = split /\n/, $self->log_text;
		splice @lines, 0, -20;
		die $error, "the end of $self->{log}:\n", map { "$_\n" } @lines;
	}
	return $self;
}

# As a system administrator stops it.
sub stop
{
	my ($self) = @_;
	return $self unless $self->{pid};
	kill 'TERM', $self->{pid};
	eval { poll_for('the Kafka broker to stop', 60, sub { $self->_reap }) } and return $self;
	return $self->kill9;
}

# As the kernel's out-of-memory killer does.
sub kill9
{
	my ($self) = @_;
	return $self unless $self->{pid};
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return $self;
}

sub restart { my ($self) = @_; return $self->stop->start; }

# A broker that hangs, with its connections open.
sub freeze { my ($self) = @_; kill 'STOP', $self->{pid}; return $self; }
sub thaw { my ($self) = @_; kill 'CONT', $self->{pid}; return $self; }

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@, $!);
	$self->kill9 if $self->{owner} == $$;    # not in a child that the test forked
}

# --- topics and messages ---

# partitions => N; config => { 'retention.ms' => … }
sub create_topic
{
	my ($self, $topic, %options) = @_;
	my $config = $options{config} // {};
	my @arguments = ('create-topic', '-t' => $topic, '-n' => $options{partitions} // 1,
		map { ('--config' => "$_=$config->{$_}") } sort keys %$config);
	# on a busy machine a broker may miss its heartbeats, and is "fenced" until the next
	poll_for("creating topic $topic", 30, sub { eval { $self->tool(@arguments); 1 } or ($@ =~ /fenced/ ? 0 : die $@) });
	# The controller has said yes; clients look the topic up in the broker's own copy, a moment later.
	poll_for("topic $topic", 20, sub { ($self->_tool('end-offsets', '-t' => $topic))[0] == 0 });
	return;
}

# To so many in all.
sub add_partitions { my ($self, $topic, $total) = @_; $self->tool('add-partitions', '-t' => $topic, '-n' => $total); return; }

sub delete_topic { my ($self, $topic) = @_; $self->tool('delete-topic', '-t' => $topic); return; }

# As retention does: what is before the offset is gone.
sub delete_records
{
	my ($self, $topic, $partition, $before) = @_;
	$self->tool('delete-records', '-t' => $topic, '-p' => $partition, '-o' => $before);
	return;
}

# Messages are byte strings, undef is a null value (a tombstone); or the name of a file, a message a line.
# Options: partition, key, headers => { name => value }, compression, rate (a second), timestamp (ms),
# transaction => 'commit'/'abort', timeout (ms). Returns how many were delivered; dies when any wasn't.
sub produce
{
	my ($self, $topic, $messages, %options) = @_;
	my @arguments = ('produce', '-t' => $topic);
	my $headers = delete $options{headers} // {};
	push @arguments, map { ('--header' => "$_=$headers->{$_}") } sort keys %$headers;
	push @arguments, '-p' => delete $options{partition} if defined $options{partition};
	for my $name (sort keys %options)
	{
		croak "produce: no such option: $name"
		  unless $name =~ /^(key|compression|rate|timestamp|transaction|timeout)$/;
		push @arguments, "--$name" => $options{$name};
	}

	# A file and no pipe, so that a million messages aren't copied through Perl's select loop.
	my $file;
	if (ref $messages)
	{
		$file = File::Temp->new(DIR => $self->{dir}, TEMPLATE => 'produceXXXXXX');
		binmode $file;
		print $file map { defined $_ ? pack('N/a*', $_) : "\xff\xff\xff\xff" } @$messages;
		$file->flush;
		push @arguments, '--format' => 'length-prefixed';
	}
	my $output = $self->tool(@arguments, '-f' => $file ? $file->filename : $messages);
	chomp $output;
	return $output;
}

# The command line of the producer, for a test that runs it in the background with IPC::Run.
sub produce_command
{
	my ($self, $topic, @arguments) = @_;
	return ($self->{tool}, 'produce', '-b', $self->bootstrap, '-t', $topic, @arguments);
}

# What a topic holds: a list of { partition, offset, key, value }, partition by partition.
sub consume
{
	my ($self, $topic, @arguments) = @_;
	return map { my %row; @row{qw(partition offset key value)} = split /\t/, $_, 4; \%row }
	  split /\n/, $self->tool('consume', '-t' => $topic, @arguments);
}

# partition => the offset that its next message gets.
sub end_offsets
{
	my ($self, $topic) = @_;
	return { map { my ($partition, undef, $high) = split /\t/; ($partition => $high) }
		  split /\n/, $self->tool('end-offsets', '-t' => $topic) };
}

# partition => the first offset that is still kept.
sub start_offsets
{
	my ($self, $topic) = @_;
	return { map { (split /\t/)[ 0, 1 ] } split /\n/, $self->tool('end-offsets', '-t' => $topic) };
}

# --- consumer groups ---

# partition => { offset, metadata } where the group has committed one.
sub committed
{
	my ($self, $group, $topic) = @_;
	my %result;
	for my $line (split /\n/, $self->tool('committed', '-g' => $group, '-t' => $topic))
	{
		my ($partition, $offset, $metadata) = split /\t/, $line, 3;
		$result{$partition} = { offset => $offset, metadata => $metadata } if $offset >= 0;
	}
	return \%result;
}

sub commit
{
	my ($self, $group, $topic, $partition, $offset, $metadata) = @_;
	$self->tool('commit', '-g' => $group, '-t' => $topic, '-p' => $partition, '-o' => $offset,
		defined $metadata ? ('--metadata' => $metadata) : ());
	return;
}

# 'Stable', 'Empty', 'Dead' (unknown), 'PreparingRebalance', 'CompletingRebalance'; in list context the number
# of members too. Quick, for polling.
sub group_state
{
	my ($self, $group) = @_;
	my ($first) = split /\n/, $self->tool('group', '-g' => $group);
	my ($state, $members) = split /\t/, $first;
	return wantarray ? ($state, $members) : $state;
}

# As an administrator does it, with Kafka's own tool: 'to-earliest', 'to-latest', 'to-offset', 3, 'shift-by', -2,
# 'to-datetime', …. The group must have no members; Kafka refuses otherwise and this dies with its words.
# topic:0,1 names partitions.
sub reset_offsets
{
	my ($self, $group, $topic, $where, @value) = @_;
	return $self->java_tool(
		'consumer.group.ConsumerGroupCommand', '--group', $group, '--topic', $topic,
		'--reset-offsets', "--$where", @value, '--execute');
}

# Kafka's own description: a list of hashes with the tool's column names (TOPIC, PARTITION, CURRENT-OFFSET,
# LOG-END-OFFSET, LAG, CONSUMER-ID, HOST, CLIENT-ID).
sub group_describe
{
	my ($self, $group) = @_;
	my (@rows, @columns);
	for my $line (split /\n/, $self->java_tool('consumer.group.ConsumerGroupCommand', '--group', $group, '--describe'))
	{
		my @fields = split ' ', $line;
		if ($line =~ /^GROUP\s+TOPIC/) { @columns = @fields; }
		elsif (@columns && @fields == @columns) { my %row; @row{@columns} = @fields; push @rows, \%row; }
	}
	return @rows;
}

# --- tools ---

# Our own small tool, test/clients/kafka_tool.c. Returns its output, dies with its error.
sub tool
{
	my ($self, @arguments) = @_;
	my ($status, $output, $error) = $self->_tool(@arguments);
	croak "kafka_tool @arguments: $error" if $status != 0;
	return $output;
}

# One of Kafka's, by its class below org.apache.kafka.tools: about 1.5 s.
sub java_tool
{
	my ($self, $class, @arguments) = @_;
	my ($output, $error) = ('', '');
	IPC::Run::run(
		[   'java', @tool_jvm, $self->_archive, "-Djava.io.tmpdir=$self->{dir}", '-cp', $self->{jars}, "org.apache.kafka.tools.$class",
			'--bootstrap-server', $self->bootstrap, @arguments
		],
		'<', \undef, '>', \$output, '2>', \$error);
	# ConsumerGroupCommand says "Error: ..." on standard output and exits with 0.
	croak "$class @arguments: $output$error" if $? != 0 || $output =~ /^Error/m;
	return $output;
}

sub _tool
{
	my ($self, $command, @arguments) = @_;
	my ($output, $error) = ('', '');
	IPC::Run::run([ $self->{tool}, $command, '-b', $self->bootstrap, @arguments ],
		'<', \undef, '>', \$output, '2>', \$error);
	$error .= 'killed by signal ' . ($? & 127) if $? & 127;
	return ($? >> 8 || $?, $output, $error);
}

sub _build_tool
{
	my ($self) = @_;
	my ($output, $build) = ('', cache() . '/bin');
	IPC::Run::run([ 'make', '-s', '-C', test_folder() . '/clients', "BUILD=$build", "$build/kafka_tool" ],
		'<', \undef, '>&', \$output)
	  or die "making kafka_tool failed:\n$output";
	$self->{tool} = "$build/kafka_tool";
	return;
}

sub _archive { my ($self) = @_; return -e $self->{archive} ? "-XX:SharedArchiveFile=$self->{archive}" : (); }

# True once the broker has ended; then pid is gone.
sub _reap
{
	my ($self) = @_;
	return 1 unless $self->{pid};
	return 0 unless waitpid($self->{pid}, WNOHANG) == $self->{pid};
	delete $self->{pid};
	return 1;
}

sub _format
{
	my ($self) = @_;
	my $dir = $self->{dir};
	File::Path::remove_tree($dir);
	make_path("$dir/data");
	$self->{port} = free_port();
	my $controller = $self->{controllers} ? $self->{controllers}[ $self->{node} - 1 ] : free_port();
	my @more = sort keys %{ $self->{listeners} };
	$self->{ports} = { map { $_ => free_port() } @more };
	my $listeners = join ',', "PLAINTEXT://127.0.0.1:$self->{port}", "CONTROLLER://127.0.0.1:$controller",
	  map { "$_://" . $self->listener($_) } @more;
	my $advertised = join ',', "PLAINTEXT://127.0.0.1:$self->{port}",
	  $self->{controllers} ? () : "CONTROLLER://127.0.0.1:$controller",
	  map { "$_://" . ($self->{advertised}{$_} // $self->listener($_)) } @more;
	my $number = 0;
	my %quorum = $self->{controllers}
	  ? ('controller.quorum.voters' => join ',', map { ++$number . "\@127.0.0.1:$_" } @{ $self->{controllers} })
	  : ('controller.quorum.bootstrap.servers' => "127.0.0.1:$controller");
	my %properties = (
		'process.roles' => 'broker,controller',
		'node.id' => $self->{node},
		%quorum,
		'listeners' => $listeners,
		'advertised.listeners' => $advertised,
		'listener.security.protocol.map' => join(',', 'PLAINTEXT:PLAINTEXT', 'CONTROLLER:PLAINTEXT', map { "$_:$self->{listeners}{$_}" } @more),
		'controller.listener.names' => 'CONTROLLER',
		'inter.broker.listener.name' => 'PLAINTEXT',
		'log.dirs' => "$dir/data",
		'auto.create.topics.enable' => 'false',    # a mistyped name must fail
		'offsets.topic.replication.factor' => 1,
		'offsets.topic.num.partitions' => 4,
		'transaction.state.log.replication.factor' => 1,
		'transaction.state.log.min.isr' => 1,
		'transaction.state.log.num.partitions' => 2,
		'group.initial.rebalance.delay.ms' => 0,
		'group.min.session.timeout.ms' => 1000,    # a test may ask for a quick one
		# A killed broker's successor isn't let in before the old one's session has ended: 9 s unless told.
		'broker.session.timeout.ms' => 3000,
		'broker.heartbeat.interval.ms' => 500,
		%{ $self->{properties} });
	open my $file, '>', "$dir/server.properties" or die "$dir/server.properties: $!";
	print $file map { "$_=$properties{$_}\n" } sort keys %properties;
	close $file or die "$dir/server.properties: $!";

	my $output = '';
	# The cluster id is 16 bytes in URL-safe base 64; any will do.
	IPC::Run::run(
		[   'java', @tool_jvm, $self->_archive, "-Djava.io.tmpdir=$self->{dir}", '-cp', $self->{jars}, 'kafka.tools.StorageTool', 'format',
			$self->{controllers} ? () : '--standalone', '-t', 'c3RhY2tsZW5zLXRlc3RzAA', '-c', "$dir/server.properties",
			map { ('--add-scram', "SCRAM-SHA-256=[name=$_,password=$self->{scram}{$_}]") } sort keys %{ $self->{scram} }
		],
		'<', \undef, '>&', \$output)
	  or die "formatting the Kafka storage failed:\n$output";
	return;
}

1;
