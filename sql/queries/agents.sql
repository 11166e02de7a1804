-- The agents with what the telephony database knows of their logins: one row for each agent, logged in or not.
-- No ORDER BY, as published: the order is the plan's.
SELECT af.number,
       als.extension,
       als.context,
       als.state_interface,
       'offline' AS status,
       '-1' AS extension_status,
       '0' AS paused
  FROM agentfeatures AS af
  LEFT JOIN agent_login_status AS als ON af.id = als.agent_id;
