// What a run says: a line at its start; warnings of each sample; at its end one row for each sample in
// sheet order, on the screen and in summary.tsv.

// Returns what a run says when its input and model set have been checked.
def startLine(samples, set, values, version) {
    def about = "model set ${set.model_set} (${set.model_set_digest[0..11]}), chunks of ${set.chunk_bp} bp, frames ${set.frame_rule}"
    return values.workflow == 'train'
        ? "virnucpro-nf ${version}: training ${values.set_name} on ${counted(samples, 'genome')}, encoders of ${about}"
        : "virnucpro-nf ${version}: ${counted(samples, 'sample')}, ${about}, scores ${set.calibration ? '' : 'not '}calibrated"
}

// Says what SPLIT or SUMMARISE found odd about a sample, cached or not.
def sayWarnings(sample, file) {
    def lines = file.readLines('UTF-8')
    if (lines) {
        log.warn("Sample ${sample}: ${lines.size() == 1 ? lines[0] : lines.size() + ' warnings' + lines.collect { line -> "\n  ${line}" }.join()}")
    }
}

// Returns the text of summary.tsv, a row for each sample: its counts once it is done (`tables`: id -> lines of
// its summary), and status and reason (`outcomes`: id -> both).
def summaryTable(samples, model, tables, outcomes) {
    def done = samples.findAll { s -> tables[s.id] }
    def header = done ? tables[done[0].id][0].split('\t') as List : summaryColumns()
    def counts = [header] + samples.collect { s -> tables[s.id] ? tables[s.id][1].split('\t', -1) as List : [s.id] + header.drop(1).collect { '' } }
    def own_columns = ['model_set', 'model_set_digest', 'model_note', 'status', 'reason']
    def models = [own_columns] + samples.collect { s -> ([model.model_set, model.model_set_digest, model.note ?: ''] + outcomes[s.id]).collect { text -> text.trim().replaceAll(/\s+/, ' ') } }
    return [counts, models, sheetColumns(samples, header + own_columns)].transpose().collect { parts -> parts.flatten().join('\t') }.join('\n') + '\n'
}

// Returns the counts of the samples that are done, for the screen: without reasons that no sequence has, and
// without the warnings, which have been said.
def summaryText(samples, tables) {
    def done = samples.findAll { s -> tables[s.id] }
    def rows = [tables[done[0].id][0].split('\t') as List] + done.collect { s -> tables[s.id][1].split('\t', -1) as List }
    def reasons = (rows[0].indexOf('empty')..<rows[0].indexOf('chunks')).findAll { i -> rows.drop(1).every { row -> row[i] == '0' } }
    def shown = (0..<rows[0].indexOf('warnings')).findAll { i -> !(i in reasons) } // its last column
    def counts = rows.collect { row -> row[shown] }
    return aligned([counts, sheetColumns(done, rows[0])].transpose().collect { parts -> parts.flatten() })
}

// Returns the sheet's further columns, names first; one that is called as one of ours is renamed.
def sheetColumns(samples, ours) {
    def names = samples[0].columns.keySet().collect { name -> name in ours ? "sheet_${name}".toString() : name }
    return [names] + samples.collect { s -> s.columns.values() as List }
}

// Columns of a sample's summary, as bin/vnp_summarise.py writes them: known before any sample is done.
def summaryColumns() {
    return [
        'sample', 'sequences', 'viral', 'non-viral', 'empty', 'too_short', 'no_codon', 'no_open_frame',
        'shorter_than_min_length', 'longer_than_max_length', 'not_finite', 'too_long_for_gpu', 'chunks', 'chunks_viral', 'chunks_nonviral', 'chunks_partial', 'frames', 'warnings',
    ]
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

// Rows as text in columns.
def aligned(rows) {
    def widths = rows.transpose().collect { column -> column.collect { cell -> cell.size() }.max() }
    return rows.collect { row -> [row, widths].transpose().collect { cell, width -> cell.padRight(width) }.join('  ') }.join('\n')
}
