SELECT id, numgroup, firstname, lastname, number, '' AS passwd, context, language, autologoff, "group", description, preprocess_subroutine
  FROM agentfeatures
