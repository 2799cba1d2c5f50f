import org.codelibs.opensearch.runner.OpenSearchRunner;

/** One OpenSearch node in this process: java [-Dplugin=CLASS] Run.java FOLDER HTTP-PORT [SETTING=VALUE]... It ends with the process. */
public class Run {
	public static void main(String[] arguments) throws Exception {
		OpenSearchRunner runner = new OpenSearchRunner();
		runner.onBuild((number, settings) -> {
			settings.put("http.port", arguments[1]);
			settings.put("http.cors.enabled", false);
			settings.put("discovery.type", "single-node");
			settings.put("cluster.routing.allocation.disk.threshold_enabled", true);
			settings.putList("path.repo", arguments[0] + "/repo");
			for (int i = 2; i < arguments.length; i++)
				settings.put(arguments[i].split("=", 2)[0], arguments[i].split("=", 2)[1]);
		}).build(OpenSearchRunner.newConfigs().basePath(arguments[0]).numOfNode(1).useLogger().disableESLogger()
				.pluginTypes(System.getProperty("plugin", "")));
		Thread.currentThread().join();
	}
}
