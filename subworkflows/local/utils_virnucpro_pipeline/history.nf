// Which run -resume continues. Nextflow's files are read only: another run may write to them.

// Returns [session id, command] of the last run that computed something for a sample, when the session that is
// being resumed did not; else null. `folder` is Nextflow's .nextflow; `run_name` is the run that asks.
def sessionToResume(folder, session, run_name) {
    def history = folder.resolve('history')
    if (!history.exists() || hasSampleTasks(folder, session, run_name)) {
        return null
    }
    def row = history.readLines()
        .collect { line -> line.split('\t', 7) as List } // time, duration, run name, status, revision, session, command
        .findAll { fields -> fields.size() == 7 && fields[5] ==~ /[0-9a-f-]{36}/ && fields[5] != session }
        .reverse()
        .find { fields -> hasSampleTasks(folder, fields[5], null) }
    return row ? row.drop(5) : null
}

// Returns whether a run of a session has had more tasks than the two that check what is asked for. Its index has
// 17 bytes for each: hash, and whether it was cached.
def hasSampleTasks(folder, session, except_run) {
    def indexes = folder.resolve("cache/${session}").toFile().listFiles()?.findAll { f -> f.name.startsWith('index.') && f.name != "index.${except_run}" }
    return indexes?.any { f -> f.length() > 2 * 17 } ?: false
}

// Says which session to resume instead, when the one that -resume takes has nothing to continue.
def sayWhatToResume() {
    def folder = file(System.getenv('NXF_CACHE_DIR') ?: "${launchDir}/.nextflow", glob: false)
    def (session, command) = workflow.resume ? (sessionToResume(folder, workflow.sessionId.toString(), workflow.runName) ?: [null, null]) : [null, null]
    if (session) {
        log.warn("The run that -resume continues, ${workflow.sessionId}, was refused before it computed anything. To continue the last one here that did: -resume ${session}\n  (${command})")
    }
}
