/*
 * logsources.c
 *	  What Sigma's log sources mean: the tests that find their events.
 *
 * The names of fields are those of Sigma's taxonomy (EventID, Channel,
 * Provider_Name) and of the logs themselves.  Where a channel has a provider
 * of its own, that tells it too, for records that don't carry a channel.
 *
 * A row too many keeps rules from ever matching, one too few costs nothing:
 * log sources whose field names depend on who ships them have none.
 */
#include "logsources.h"

/* clang-format off */

/* JSON without its backslashes. */
#define J(...) #__VA_ARGS__

#define CHANNEL(channel) "{\"Channel\":" channel "}"
#define LOG(channel, provider) "[{\"Channel\":" channel "},{\"Provider_Name\":" provider "}]"

/* Two maps of a list; ids is a number or a list, as are names. */
#define EVENT(ids, channel, provider) \
	"{\"EventID\":" ids ",\"Channel\":" channel "}," \
	"{\"EventID\":" ids ",\"Provider_Name\":" provider "}"

#define SYSMON_LOG J("Microsoft-Windows-Sysmon/Operational"), J("Microsoft-Windows-Sysmon")
#define LINUX_SYSMON_LOG J("Linux-Sysmon/Operational"), J("Linux-Sysmon")
#define SECURITY_LOG J("Security"), J("Microsoft-Windows-Security-Auditing")
#define POWERSHELL_LOG \
	J(["Microsoft-Windows-PowerShell/Operational","PowerShellCore/Operational"]), \
	J(["Microsoft-Windows-PowerShell","PowerShellCore"])
#define CLASSIC_LOG J("Windows PowerShell"), J("PowerShell")

/* Second round, so that the names above become two arguments. */
#define LOG_OF(log) LOG(log)
#define EVENT_OF(ids, log) EVENT(ids, log)

#define SYSMON(ids) "[" EVENT_OF(ids, SYSMON_LOG) "]"
#define LINUX_SYSMON(ids) "[" EVENT_OF(ids, LINUX_SYSMON_LOG) "]"
#define POWERSHELL(ids) "[" EVENT_OF(ids, POWERSHELL_LOG) "]"
#define CLASSIC(ids) "[" EVENT_OF(ids, CLASSIC_LOG) "]"

/* Events of ETW; some of its readers write the provider's name in one word. */
#define KERNEL_FILE \
	J([{"Provider_Name":"Microsoft-Windows-Kernel-File"},{"ProviderName":"Microsoft-Windows-Kernel-File"}])

/* By category, product and service. */
const sl_logsource sl_logsources[] = {
	{"application", "opencanary", NULL, J({"logtype|exists":true})},
	{"clipboard_capture", "windows", NULL, SYSMON("24")},
	{"create_remote_thread", "windows", NULL, SYSMON("8")},
	{"create_stream_hash", "windows", NULL, SYSMON("15")},
	{"dns_query", "windows", NULL, SYSMON("22")},
	{"driver_load", "windows", NULL, SYSMON("6")},
	{"file_access", "windows", NULL, KERNEL_FILE},
	{"file_block_executable", "windows", NULL, SYSMON("27")},
	{"file_block_shredding", "windows", NULL, SYSMON("28")},
	{"file_change", "windows", NULL, SYSMON("2")},
	{"file_delete", "linux", NULL, LINUX_SYSMON("23")},
	{"file_delete", "windows", NULL, SYSMON("[23,26]")},
	{"file_delete_detected", "windows", NULL, SYSMON("26")},
	{"file_event", "linux", NULL, LINUX_SYSMON("11")},
	{"file_event", "windows", NULL, SYSMON("11")},
	{"file_executable_detected", "windows", NULL, SYSMON("29")},
	{"file_rename", "windows", NULL, KERNEL_FILE},
	{"image_load", "windows", NULL, SYSMON("7")},
	{"network_connection", "linux", NULL, LINUX_SYSMON("3")},
	{"network_connection", "windows", NULL, SYSMON("3")},
	{"pipe_created", "windows", NULL, SYSMON("[17,18]")},
	{"process_access", "windows", NULL, SYSMON("10")},
	{"process_creation", "linux", NULL, LINUX_SYSMON("1")},
	{"process_creation", "windows", NULL, "[" EVENT_OF("1", SYSMON_LOG) "," EVENT_OF("4688", SECURITY_LOG) "]"},
	{"process_tampering", "windows", NULL, SYSMON("25")},
	{"process_termination", "linux", NULL, LINUX_SYSMON("5")},
	{"process_termination", "windows", NULL, SYSMON("5")},
	{"ps_classic_provider_start", "windows", NULL, CLASSIC("600")},
	{"ps_classic_script", "windows", NULL, CLASSIC("800")},
	{"ps_classic_start", "windows", NULL, CLASSIC("400")},
	{"ps_module", "windows", NULL, POWERSHELL("4103")},
	{"ps_script", "windows", NULL, POWERSHELL("4104")},
	{"raw_access_thread", "windows", NULL, SYSMON("9")},
	{"registry_add", "windows", NULL, SYSMON("12")},
	{"registry_delete", "windows", NULL, SYSMON("12")},
	{"registry_event", "windows", NULL, SYSMON("[12,13,14]")},
	{"registry_rename", "windows", NULL, SYSMON("14")},
	{"registry_set", "windows", NULL, SYSMON("13")},
	{"sysmon_error", "windows", NULL, SYSMON("255")},
	{"sysmon_status", "linux", NULL, LINUX_SYSMON("[4,16]")},
	{"sysmon_status", "windows", NULL, SYSMON("[4,16]")},
	{"wmi_event", "windows", NULL, SYSMON("[19,20,21]")},

	{NULL, "aws", "cloudtrail", J([{"eventSource|exists":true},{"eventVersion|exists":true}])},
	{NULL, "bitbucket", "audit", J({"auditType.action|exists":true})},
	{NULL, "kubernetes", "audit", J([{"auditID|exists":true},{"verb|exists":true}])},
	{NULL, "linux", "sysmon", LOG_OF(LINUX_SYSMON_LOG)},
	{NULL, "okta", "okta", J([{"eventType|exists":true},{"legacyEventType|exists":true}])},
	{NULL, "onelogin", "onelogin.events", J({"event_type_id|exists":true})},

	/* Some channels are called one thing by Sigma, another by Windows. */
	{NULL, "windows", "application", CHANNEL(J("Application"))},
	{NULL, "windows", "application-experience", CHANNEL(J(["Microsoft-Windows-Application-Experience/Program-Telemetry",
		"Microsoft-Windows-Application-Experience/Program-Compatibility-Assistant"]))},
	{NULL, "windows", "applocker", CHANNEL(J(["Microsoft-Windows-AppLocker/EXE and DLL",
		"Microsoft-Windows-AppLocker/MSI and Script",
		"Microsoft-Windows-AppLocker/Packaged app-Deployment",
		"Microsoft-Windows-AppLocker/Packaged app-Execution"]))},
	{NULL, "windows", "appmodel-runtime", CHANNEL(J("Microsoft-Windows-AppModel-Runtime/Admin"))},
	{NULL, "windows", "appxdeployment-server", CHANNEL(J("Microsoft-Windows-AppXDeploymentServer/Operational"))},
	{NULL, "windows", "appxpackaging-om", CHANNEL(J("Microsoft-Windows-AppxPackaging/Operational"))},
	{NULL, "windows", "bitlocker", CHANNEL(J("Microsoft-Windows-BitLocker/BitLocker Management"))},
	{NULL, "windows", "bits-client", CHANNEL(J("Microsoft-Windows-Bits-Client/Operational"))},
	{NULL, "windows", "capi2", CHANNEL(J("Microsoft-Windows-CAPI2/Operational"))},
	{NULL, "windows", "certificateservicesclient-lifecycle-system",
		CHANNEL(J("Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational"))},
	{NULL, "windows", "codeintegrity-operational", CHANNEL(J("Microsoft-Windows-CodeIntegrity/Operational"))},
	{NULL, "windows", "dhcp", CHANNEL(J("Microsoft-Windows-DHCP-Server/Operational"))},
	{NULL, "windows", "diagnosis-scripted", CHANNEL(J("Microsoft-Windows-Diagnosis-Scripted/Operational"))},
	{NULL, "windows", "dns-client", CHANNEL(J(["Microsoft-Windows-DNS Client Events/Operational",
		"Microsoft-Windows-DNS-Client/Operational"]))},
	{NULL, "windows", "dns-server", CHANNEL(J("DNS Server"))},
	{NULL, "windows", "dns-server-analytic", CHANNEL(J(["Microsoft-Windows-DNS-Server/Analytical",
		"Microsoft-Windows-DNSServer/Analytical"]))},
	{NULL, "windows", "dns-server-audit", CHANNEL(J(["Microsoft-Windows-DNS-Server/Audit",
		"Microsoft-Windows-DNSServer/Audit"]))},
	{NULL, "windows", "driver-framework", CHANNEL(J("Microsoft-Windows-DriverFrameworks-UserMode/Operational"))},
	{NULL, "windows", "firewall-as", CHANNEL(J("Microsoft-Windows-Windows Firewall With Advanced Security/Firewall"))},
	{NULL, "windows", "hyper-v-worker", CHANNEL(J(["Microsoft-Windows-Hyper-V-Worker",
		"Microsoft-Windows-Hyper-V-Worker-Admin",
		"Microsoft-Windows-Hyper-V-Worker-Operational"]))},
	{NULL, "windows", "iis-configuration", CHANNEL(J("Microsoft-IIS-Configuration/Operational"))},
	{NULL, "windows", "kernel-event-tracing", CHANNEL(J(["Microsoft-Windows-Kernel-EventTracing",
		"Microsoft-Windows-Kernel-EventTracing/Admin",
		"Microsoft-Windows-Kernel-EventTracing/Analytic"]))},
	{NULL, "windows", "kernel-shimengine", CHANNEL(J(["Microsoft-Windows-Kernel-ShimEngine/Operational",
		"Microsoft-Windows-Kernel-ShimEngine/Diagnostic"]))},
	{NULL, "windows", "ldap", CHANNEL(J("Microsoft-Windows-LDAP-Client/Debug"))},
	{NULL, "windows", "ldap_debug", CHANNEL(J("Microsoft-Windows-LDAP-Client/Debug"))},
	{NULL, "windows", "lsa-server", CHANNEL(J("Microsoft-Windows-LSA/Operational"))},
	{NULL, "windows", "microsoft-servicebus-client", CHANNEL(J(["Microsoft-ServiceBus-Client",
		"Microsoft-ServiceBus-Client/Admin",
		"Microsoft-ServiceBus-Client/Operational"]))},
	{NULL, "windows", "msexchange-management", CHANNEL(J("MSExchange Management"))},
	{NULL, "windows", "ntfs", CHANNEL(J("Microsoft-Windows-Ntfs/Operational"))},
	{NULL, "windows", "ntlm", CHANNEL(J("Microsoft-Windows-NTLM/Operational"))},
	{NULL, "windows", "openssh", CHANNEL(J("OpenSSH/Operational"))},
	{NULL, "windows", "powershell", LOG_OF(POWERSHELL_LOG)},
	{NULL, "windows", "powershell-classic", LOG_OF(CLASSIC_LOG)},
	{NULL, "windows", "printservice-admin", CHANNEL(J("Microsoft-Windows-PrintService/Admin"))},
	{NULL, "windows", "printservice-operational", CHANNEL(J("Microsoft-Windows-PrintService/Operational"))},
	{NULL, "windows", "security", LOG_OF(SECURITY_LOG)},
	{NULL, "windows", "security-mitigations", CHANNEL(J(["Microsoft-Windows-Security-Mitigations/Kernel Mode",
		"Microsoft-Windows-Security-Mitigations/KernelMode",
		"Microsoft-Windows-Security-Mitigations/User Mode",
		"Microsoft-Windows-Security-Mitigations/UserMode"]))},
	{NULL, "windows", "sense", CHANNEL(J("Microsoft-Windows-SENSE/Operational"))},
	{NULL, "windows", "servicebus-client", CHANNEL(J(["Microsoft-ServiceBus-Client",
		"Microsoft-ServiceBus-Client/Admin",
		"Microsoft-ServiceBus-Client/Operational"]))},
	{NULL, "windows", "shell-core", CHANNEL(J("Microsoft-Windows-Shell-Core/Operational"))},
	{NULL, "windows", "smbclient-connectivity", CHANNEL(J("Microsoft-Windows-SmbClient/Connectivity"))},
	{NULL, "windows", "smbclient-security", CHANNEL(J("Microsoft-Windows-SmbClient/Security"))},
	{NULL, "windows", "smbserver-connectivity", CHANNEL(J("Microsoft-Windows-SMBServer/Connectivity"))},
	{NULL, "windows", "sysmon", LOG_OF(SYSMON_LOG)},
	{NULL, "windows", "system", CHANNEL(J("System"))},
	{NULL, "windows", "taskscheduler",
		LOG(J("Microsoft-Windows-TaskScheduler/Operational"), J("Microsoft-Windows-TaskScheduler"))},
	{NULL, "windows", "terminalservices-localsessionmanager",
		CHANNEL(J("Microsoft-Windows-TerminalServices-LocalSessionManager/Operational"))},
	{NULL, "windows", "vhdmp", CHANNEL(J(["Microsoft-Windows-VHDMP/Operational",
		"Microsoft-Windows-VHDMP-Operational"]))},
	{NULL, "windows", "windefend",
		LOG(J("Microsoft-Windows-Windows Defender/Operational"), J("Microsoft-Windows-Windows Defender"))},
	{NULL, "windows", "wmi", LOG(J("Microsoft-Windows-WMI-Activity/Operational"), J("Microsoft-Windows-WMI-Activity"))},
};

/* clang-format on */

const size_t sl_n_logsources = sizeof(sl_logsources) / sizeof(sl_logsources[0]);
