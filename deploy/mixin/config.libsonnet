{
  _config+:: {
    // Labels that every alert gets in addition, such as {team: 'media'}. Those of the alert win: its
    // labels playbook, level and severity decide what is done.
    alertLabels: {},
    // Tags of every dashboard.
    dashboardTags: ['spillway'],
  },
}
