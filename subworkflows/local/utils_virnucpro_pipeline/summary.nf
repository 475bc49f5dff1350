// What a run says: a line at its start; warnings of each sample; at its end one row for each sample in
// sheet order, on the screen and in summary.tsv.

// Returns what a run says when its input and model set have been checked.
def startLine(samples, set, values, version) {
    def about = "model set ${set.model_set} (${set.model_set_digest[0..11]}), chunks of ${set.chunk_bp} bp, frames ${set.frame_rule}"
    return values.workflow == 'train'
        ? "virnucpro-nf ${version}: training ${values.set_name} on ${counted(samples, 'genome')}, encoders of ${about}"
        : "virnucpro-nf ${version}: ${counted(samples, 'sample')}, ${about}, scores ${set.calibration ? '' : 'not '}calibrated"
}

// Says what SPLIT found odd about a sample, cached or not.
def sayWarnings(sample, file) {
    def lines = file.readLines('UTF-8')
    if (lines) {
        log.warn("Sample ${sample}: ${lines.size() == 1 ? lines[0] : lines.size() + ' warnings' + lines.collect { line -> "\n  ${line}" }.join()}")
    }
}

// Writes <outdir>/summary.tsv and prints it, without the warnings, which have been said; stops with an
// error when a sample has no summary.
def publishSummary(samples, summaries, model, outdir) {
    def tables = summaries.collectEntries { id, table -> [id, table.readLines('UTF-8').collect { line -> line.split('\t', -1) }] }
    def done = samples.findAll { s -> tables[s.id] }
    if (done) {
        def counts = [tables[done[0].id][0] as List] + done.collect { s -> tables[s.id][1] as List }
        def own_columns = counts[0] + ['model_set', 'model_set_digest', 'model_note']
        def columns = [samples[0].columns.keySet().collect { name -> name in own_columns ? "sheet_${name}".toString() : name }] + done.collect { s -> s.columns.values() as List }
        def models = [own_columns.takeRight(3)] + done.collect { [model.model_set.replaceAll(/\s/, ' '), model.model_set_digest, (model.note ?: '').replaceAll(/\s/, ' ')] }
        def rows = [counts, models, columns].transpose().collect { parts -> parts.flatten().join('\t') }
        writeAtomically(file("${outdir}/summary.tsv", glob: false), rows.join('\n') + '\n')
        def shown = counts.collect { row -> row[0..<counts[0].indexOf('warnings')] } // its last column
        println(aligned([shown, columns].transpose().collect { parts -> parts.flatten() }))
    }
    def failed = samples.findAll { s -> !tables[s.id] }
    if (failed) {
        def text = "${failed.size()} of ${counted(samples, 'sample')} ${failed.size() == 1 ? 'has' : 'have'} no result: ${failed.collect { s -> s.id }.join(', ')}. The reason of each is above, and in the .command.err of its last task."
        if (nextflow.Global.session.fault) {
            log.error(text) // Nextflow is stopping already, and would show the trace of a second error
        }
        else {
            error(text)
        }
    }
}

// Says what Nextflow does not of a run that ended early: free space, or how to go on.
def sayWhyStopped() {
    def done = workflow.stats.succeedCount + workflow.stats.cachedCount
    if (workflow.errorMessage ==~ /SIG[A-Z]+/) {
        log.info("Stopped by ${workflow.errorMessage}. Done and kept in ${workflow.workDir}: ${done} ${done == 1 ? 'task' : 'tasks'}. To go on: the same command with -resume")
    }
    else if (workflow.errorReport?.startsWith('Error executing process')) {
        def free = java.nio.file.Files.getFileStore(workflow.workDir).usableSpace.intdiv(1000000)
        log.info("Free space on the disk of ${workflow.workDir}: ${free} MB. When the cause is fixed, go on with -resume")
    }
}

// Returns "1 sample", "2 samples".
def counted(items, word) {
    return "${items.size()} ${word}${items.size() == 1 ? '' : 's'}"
}

// Writes a text file, complete or not at all.
def writeAtomically(target, text) {
    target.parent.mkdirs()
    def temporary = target.resolveSibling(".${target.name}.tmp")
    temporary.setText(text, 'UTF-8')
    java.nio.file.Files.move(temporary, target, java.nio.file.StandardCopyOption.REPLACE_EXISTING)
}

// Rows as text in columns.
def aligned(rows) {
    def widths = rows.transpose().collect { column -> column.collect { cell -> cell.size() }.max() }
    return rows.collect { row -> [row, widths].transpose().collect { cell, width -> cell.padRight(width) }.join('  ') }.join('\n')
}
