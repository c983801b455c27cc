SELECT concat('{"text":', json_quote(t0."text"), ',"remark":', json_quote(CASE WHEN t0."author_id" = ?1 THEN t0."remark" END), '}'), t0."id"
FROM "reviews" AS t0
WHERE ((t0."hidden" <> ?2
    OR t0."author_id" = ?1)
  AND instr(CASE WHEN t0."author_id" = ?1 THEN t0."remark__folded" END, ?3) > 0)
ORDER BY t0."id"
LIMIT ?4
