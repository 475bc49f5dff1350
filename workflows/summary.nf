// What a run tells of itself: its model set at the start; at the end one row for each sample in sheet
// order, on the screen and in summary.tsv.

// Writes <outdir>/pipeline_info/model_set.json: the set in use, and its description as it is.
def publishModelSet(model, made_by, settings, weights_dir, outdir) {
    def note = made_by + [
        folder: model.folder,
        weights_dir: weights_dir,
        chunk_bp: settings.chunk_bp,
        encoders: settings.encoders,
        description: model.description,
    ]
    def text = groovy.json.JsonOutput.prettyPrint(groovy.json.JsonOutput.toJson(note))
    writeWhole(file("${outdir}/pipeline_info/model_set.json"), text + '\n')
}

// Writes <outdir>/summary.tsv and prints it; stops with an error when a sample has no summary.
def publishSummary(samples, summaries, made_by, outdir) {
    def tables = summaries.collectEntries { id, table -> [id, table.readLines()*.split('\t')] }
    def done = samples.findAll { s -> tables[s.id] }
    if (done) {
        def counts = [tables[done[0].id][0] as List] + done.collect { s -> tables[s.id][1] as List }
        def ours = counts[0] + ['model_set', 'model_set_digest']
        def columns = [samples[0].columns.keySet().collect { name -> name in ours ? "sheet_${name}".toString() : name }] + done.collect { s -> s.columns.values() as List }
        def models = [ours.takeRight(2)] + done.collect { [made_by.model_set.replaceAll(/\s/, ' '), made_by.model_set_digest] }
        def rows = [counts, models, columns].transpose().collect { parts -> parts.flatten().join('\t') }
        writeWhole(file("${outdir}/summary.tsv"), rows.join('\n') + '\n')
        println(aligned([counts, columns].transpose().collect { parts -> parts.flatten() }))
    }
    def failed = samples.findAll { s -> !tables[s.id] }
    if (failed) {
        error("${failed.size()} of ${samples.size()} samples have no result: ${failed.collect { s -> s.id }.join(', ')}. The reason of each stands above, and in the .command.err of its last task.")
    }
}

// Writes a text file, complete or not at all.
def writeWhole(target, text) {
    target.parent.mkdirs()
    def temporary = target.resolveSibling(".${target.name}.tmp")
    temporary.text = text
    java.nio.file.Files.move(temporary, target, java.nio.file.StandardCopyOption.REPLACE_EXISTING)
}

// Rows as text in columns.
def aligned(rows) {
    def widths = rows.transpose().collect { column -> column.collect { cell -> cell.size() }.max() }
    return rows.collect { row -> [row, widths].transpose().collect { cell, width -> cell.padRight(width) }.join('  ') }.join('\n')
}
