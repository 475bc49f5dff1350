// The results of a run in outdir: always of this run. summary.tsv says from the start which samples are not
// finished; an earlier result of a sample that failed is set aside.
include { closePublication ; filesBelow ; openPublication ; publishFolder ; publishText ; setAside ; writeFault } from './publish'
include { counted ; summaryTable ; summaryText } from './summary'

// Once the checks have passed. Returns the run. `new_set` is the name of the model set to be trained, or null.
def startResults(run, samples, model, json, new_set) {
    def taken = samples.findAll { s -> s.id in ['pipeline_info', 'summary.tsv'] }
    if (taken && !new_set) {
        error("--input: a sample cannot be called ${taken[0].id}: the results have a file or folder of that name. Rename it in the sheet.")
    }
    def inside = inputInResults(run, samples)
    if (inside && !new_set) {
        error(inside)
    }
    try {
        openPublication(run)
        java.nio.file.Files.deleteIfExists(run.outdir.resolve('pipeline_info/versions.yml'))
        publishText(run, 'pipeline_info/model_set.json', json.text)
        run.tables = [:].asSynchronized()
        run.faults = [:].asSynchronized()
        if (new_set) {
            run.new_set = new_set
        }
        else {
            publishText(run, 'summary.tsv', summaryTable(samples, model, [:], samples.collectEntries { s -> [s.id, ['unfinished', '']] }))
            warnOfOthers(run, samples)
            run.samples = samples
            run.model = model
        }
    }
    catch (Exception fault) {
        error(writeFault(run, '', fault).replace('go on', 'start again'))
    }
    return run
}

// Publishes a sample's folder.
def publishSample(run, id, results, table, vectors) {
    try {
        def files = results.findAll { f -> f.name != 'manifest.json' }.collectEntries { f -> [f.name, f] } + vectors.collectEntries { f -> ["embeddings/${f.name}".toString(), f] }
        publishFolder(run, id, files, results.find { f -> f.name == 'manifest.json' })
        run.tables[id] = table.readLines()
    }
    catch (Exception fault) {
        noteFault(run, id, fault)
    }
}

// Publishes the folder of a trained model set; returns it.
def publishSet(run, folder) {
    try {
        publishFolder(run, folder.name, filesBelow(folder).collectEntries { f -> [folder.relativize(f).toString(), f] }, null)
        run.remove('new_set')
    }
    catch (Exception fault) {
        error(writeFault(run, folder.name, fault))
    }
    return run.outdir.resolve(folder.name)
}

// Writes the versions of all processes. A refused run leaves those of the run before.
def publishVersions(run, texts) {
    try {
        if (run.tables != null) {
            publishText(run, 'pipeline_info/versions.yml', texts.join(''))
        }
    }
    catch (Exception fault) {
        error(writeFault(run, 'pipeline_info/versions.yml', fault))
    }
}

// Says a fault of writing results once: the disk may be full for thousands of samples.
def noteFault(run, id, fault) {
    def text = writeFault(run, id, fault)
    run.faults[id] = text
    if (run.faults.size() == 1) {
        log.error(text)
    }
}

// At the end, however the run ended: summary.tsv, and what failed is set aside. Returns the words of the
// last error, or null. Does nothing the second time.
def finishResults(run) {
    if (!run.samples || run.finished) {
        return null
    }
    run.finished = true
    def missing = run.samples.findAll { s -> !run.tables[s.id] }
    def errors = taskErrors(missing) + run.faults
    def outcomes = run.samples.collectEntries { s -> [s.id, run.tables[s.id] ? ['done', ''] : errors[s.id] ? ['failed', errors[s.id]] : ['unfinished', '']] }
    def aside = []
    def kept = []
    try {
        missing.findAll { s -> run.outdir.resolve(s.id).exists() }.each { s ->
            if (errors[s.id]) {
                aside << setAside(run, s.id)
            }
            else {
                kept << run.outdir.resolve(s.id)
                outcomes[s.id][1] = 'its folder is of an earlier run'
            }
        }
        publishText(run, 'summary.tsv', summaryTable(run.samples, run.model, run.tables, outcomes))
    }
    catch (Exception fault) {
        log.error(writeFault(run, 'summary.tsv', fault))
    }
    if (run.tables) {
        println(summaryText(run.samples, run.tables))
    }
    if (!missing) {
        return null
    }
    def text = "${missing.size()} of ${counted(run.samples, 'sample')} ${missing.size() == 1 ? 'has' : 'have'} no result: ${missing.collect { s -> s.id }.join(', ')}. The reason of each is above, in summary.tsv, and in the .command.err of its last task."
    return text + (aside ? " Results of an earlier run are now in: ${aside.join(', ')}." : '') + (kept ? " Of an earlier run: ${kept.join(', ')}." : '')
}

// Ends a run, of which all tasks have ended, with an error where samples have no result.
def stopIncomplete(run) {
    // Nextflow writes the trace in another thread
    def missing = run.samples.findAll { s -> !run.tables[s.id] && !run.faults[s.id] }
    (1..20).find { _n -> taskErrors(missing).size() == missing.size() || sleep(100) }
    def text = finishResults(run)
    if (text && nextflow.Global.session.fault) {
        log.error(text) // Nextflow is stopping already, and would show the trace of a second error
    }
    else if (text) {
        error(text)
    }
}

// In workflow.onComplete: for runs that did not come to their end.
def closeResults(run) {
    def text = finishResults(run)
    if (text && !(workflow.errorMessage ==~ /SIG[A-Z]+/)) {
        log.error(text)
    }
    if (run.new_set && run.outdir.resolve(run.new_set).exists()) {
        log.warn("No model set was made: ${run.outdir.resolve(run.new_set)} is of an earlier run.")
    }
    closePublication(run)
}

// Returns sample id -> the words of the task that failed, as far as the trace knows.
def taskErrors(samples) {
    def trace = nextflow.Global.session.config.trace
    def path = trace?.enabled && samples ? file(trace.file, glob: false) : null
    if (!path?.exists() || path.lastModified() < workflow.start.toInstant().toEpochMilli()) {
        return [:]
    }
    def lines = path.readLines()
    def header = lines[0].split('\t') as List
    def last = lines.drop(1).collectEntries { line ->
        def row = [header, line.split('\t') as List].transpose().collectEntries()
        def of_shard = row.process?.tokenize(':')?.last() in ['TRANSLATE', 'EMBED_DNABERT_S', 'EMBED_ESM2', 'CLASSIFY']
        [[row.process, row.tag], row + [sample: of_shard ? row.tag.replaceFirst(/[.][0-9]+$/, '') : row.tag]]
    }
    def ids = samples.collect { s -> s.id }
    return last.values().findAll { row -> row.status == 'FAILED' && row.sample in ids }.collectEntries { row -> [row.sample, taskError(row)] }
}

// Returns what a task said last.
def taskError(row) {
    def log_file = file(row.workdir, glob: false).resolve('.command.err')
    def lines = log_file.exists() ? log_file.readLines('UTF-8').findAll { line -> line.trim() } : []
    def from = lines.findLastIndexOf { line -> line ==~ /vnp_\w+: error: .*/ }
    return from >= 0
        ? lines.drop(from).join(' ').replaceFirst(/^vnp_\w+: error: /, '')
        : "${row.process.tokenize(':').last()} ended with exit status ${row.exit}${lines ? ': ' + lines[-1] : ''}"
}

// Names the sample folders in outdir that are not of this run.
def warnOfOthers(run, samples) {
    def ids = samples.collect { s -> s.id }
    def others = (run.outdir.listFiles() ?: [])
        .findAll { f -> f.isDirectory() && !(f.name in ids) && ['manifest.json', 'provenance.json'].any { name -> f.resolve(name).exists() } }
        .collect { f -> f.name }
        .sort()
    if (others) {
        def named = others.take(10).join(', ') + (others.size() > 10 ? " and ${others.size() - 10} more" : '')
        log.warn("${run.outdir} has results of ${counted(others, 'sample')} that this run does not have: ${named}. They are of earlier runs, and stay as they are.")
    }
}

// Returns what is wrong with input that lies in a folder which results replace, or null.
def inputInResults(run, samples) {
    def folders = samples.collect { s -> run.outdir.resolve(s.id) }.findAll { f -> f.isDirectory() }.collectEntries { f -> [f.toRealPath(), f] }
    def paths = samples.collectMany { s -> s.files }.collect { path -> file(path, glob: false) }.findAll { path -> path.fileSystem == run.outdir.fileSystem }
    return paths.findResult { path ->
        def hit = folders.find { real, _f -> path.toRealPath().startsWith(real) }
        hit ? "--outdir ${run.outdir}: results replace the folder ${hit.value}, but the input ${path} lies in it. Give another --outdir." : null
    }
}
