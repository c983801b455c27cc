SELECT concat('{"text":', json_quote(t0."text"), ',"author":', CASE WHEN t1."id" IS NULL THEN 'null' ELSE concat('{"name":', json_quote(t1."name"), '}') END, '}'), t0."id"
FROM "reviews" AS t0
LEFT JOIN "customers" AS t1 ON t1."id" = t0."author_id"
AND t1."id" = ?1
WHERE ((t0."hidden" <> ?2
    OR t0."author_id" = ?1)
  AND t0."product_id" = ?3)
ORDER BY t0."id"
LIMIT ?4
