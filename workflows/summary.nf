// The end of a run: one row for each sample in sheet order, on the screen and in summary.tsv.

// Writes <outdir>/summary.tsv and prints it; stops with an error when a sample has no summary.
def publishSummary(samples, summaries, outdir) {
    def tables = summaries.collectEntries { id, table -> [id, table.readLines()*.split('\t')] }
    def done = samples.findAll { s -> tables[s.id] }
    if (done) {
        def header = (tables[done[0].id][0] as List) + (samples[0].columns.keySet() as List)
        def rows = done.collect { s -> (tables[s.id][1] as List) + (s.columns.values() as List) }
        def target = file("${outdir}/summary.tsv")
        target.parent.mkdirs()
        target.text = ([header] + rows).collect { row -> row.join('\t') }.join('\n') + '\n'
        println(aligned([header] + rows))
    }
    def failed = samples.findAll { s -> !tables[s.id] }
    if (failed) {
        error("${failed.size()} of ${samples.size()} samples have no result: ${failed.collect { s -> s.id }.join(', ')}. The reason of each stands above, and in the .command.err of its last task.")
    }
}

// Rows as text in columns.
def aligned(rows) {
    def widths = rows.transpose().collect { column -> column.collect { cell -> cell.size() }.max() }
    return rows.collect { row -> [row, widths].transpose().collect { cell, width -> cell.padRight(width) }.join('  ') }.join('\n')
}
